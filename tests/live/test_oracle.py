#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every object of a process, as pyheap sees it and as its twin says (tests/oracle):
type, size, references in order, tracked, generation, and what is garbage."""
import glob
import os
import subprocess
import sys
import tempfile

from support import PYHEAP, ROOT, Results, interpreters, version_of

ORACLE = os.path.join(ROOT, "tests/oracle")
results = Results()


def judge(name, python, workload):
    with tempfile.TemporaryDirectory() as folder:
        truth, ours, top = (os.path.join(folder, n) for n in ("truth", "ours", "top"))
        with subprocess.Popen([python, os.path.join(ORACLE, "truth.py"), truth, workload], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as target:
            # the line comes from the twin, when it has written everything
            if not results.check(f"{name}: the truth is known", target.stdout.readline() == f"ready {target.pid}\n"):
                print(target.communicate()[1])
                return
            for path, command in ((ours, ["objects", "--refs", "-f", "jsonl"]), (top, ["top", "--json"])):
                r = subprocess.run([PYHEAP, *command, "-o", path, str(target.pid)], capture_output=True, text=True)
                results.check(f"{name}: pyheap {command[0]}", r.returncode == 0, r.stderr)
            target.kill()
        r = subprocess.run([sys.executable, os.path.join(ORACLE, "compare.py"), ours, truth, top], capture_output=True,
                           text=True)
        print(f"{name}: {r.stdout.splitlines()[-1] if r.stdout else r.stderr}", flush=True)
        results.check(f"{name}: as gc and sys say", r.returncode == 0, r.stdout + r.stderr)


def main():
    for python in interpreters():
        for workload in sorted(glob.glob(os.path.join(ORACLE, "workload_*.py"))):
            judge("%d.%d.%d" % version_of(python) + " " + os.path.basename(workload), python, workload)
    return results.finish()


sys.exit(main())
