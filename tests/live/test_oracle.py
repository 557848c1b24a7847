#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every object of a process, as pyheap sees it and as its twin says (tests/oracle):
type, size, references in order, tracked, generation, what is garbage, and references
held without a visit where the workload knows them. Of the system's interpreter and the
newest other one also in cores, byte for byte."""
import sys

from support import Results, WORKLOADS, interpreters, oracles, version_of

results = Results()


def main():
    pythons = list(interpreters())
    oracles(results, [(("%d.%d.%d" % version_of(python) + " " + workload, python, workload),
                       {"cores": python in (pythons[0], pythons[-1])})
                      for python in pythons for workload in WORKLOADS])
    return results.finish()


sys.exit(main())
