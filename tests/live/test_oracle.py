#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every object of a process, as pyheap sees it and as its twin says (tests/oracle):
type, size, references in order, tracked, generation, and what is garbage."""
import sys

from support import Results, WORKLOADS, interpreters, oracle, version_of

results = Results()


def main():
    for python in interpreters():
        for workload in WORKLOADS:
            oracle(results, "%d.%d.%d" % version_of(python) + " " + workload, python, workload)
    return results.finish()


sys.exit(main())
