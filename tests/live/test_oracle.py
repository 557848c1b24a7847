#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every object of a process, as pyheap sees it and as its twin says (tests/oracle):
type, size, references in order, tracked, generation, what is garbage, and references
held without a visit where the workload knows them. Of the system's interpreter and the
newest other one also in cores, byte for byte."""
import os
import subprocess
import sys

from support import ORACLE, Results, WORKLOADS, oracles, some_interpreters, version_of

ALL_TYPES = ["workload_%s.py" % name for name in ("basic", "stdlib", "system", "types", "classes")]
# nine interpreters are by far the most objects; threads matter where there is no GIL
HEAVY = ["workload_%s.py" % name for name in ("interpreters", "threads", "ended")]
results = Results()


def check_types(python):
    """The workloads have an instance of every type that is written in C."""
    r = subprocess.run([python, "coverage.py", *ALL_TYPES], cwd=ORACLE, capture_output=True, text=True,
                       env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    print(r.stdout.splitlines()[-1] if r.stdout else r.stderr, flush=True)
    results.check(f"{python}: all types are had", r.returncode == 0, r.stdout + r.stderr)


def main():
    pythons = list(some_interpreters())
    heavy = pythons[-1:] if os.environ.get("FEW_PYTHONS") else pythons
    for python in pythons:
        check_types(python)
    oracles(results, [(("%d.%d.%d" % version_of(python) + " " + workload, python, workload),
                       {"cores": python in (pythons[0], pythons[-1])})
                      for python in pythons for workload in WORKLOADS
                      if python in heavy or workload not in HEAVY])
    return results.finish()


sys.exit(main())
