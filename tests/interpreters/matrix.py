#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle on every interpreter: the system's, Debian's of other suites as release and
pydebug builds, and pyenv's where there are any. A required one that is missing fails.

    matrix.py [FOLDER]      FOLDER: where unpack.sh puts Debian's"""
import glob
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/live"))
from support import PYHEAP, Results, interpreters  # noqa: E402

ORACLE = os.path.join(ROOT, "tests/oracle")
SUITES = (("bullseye", "3.9"), ("trixie", "3.13"), ("sid", "3.14"), ("sid", "3.15"))
results = Results()


def debian(folder):
    """(interpreter, folder with its files) of each build."""
    for suite, version in SUITES:
        r = subprocess.run([os.path.join(HERE, "unpack.sh"), suite, version, folder], capture_output=True, text=True)
        print(r.stdout.strip() or r.stderr.strip(), flush=True)
        if not results.check(f"{suite} {version} can be had", r.returncode == 0, r.stderr):
            continue
        base = os.path.join(folder, f"{suite}-{version}")
        for build in ("", "d"):
            path = os.path.join(base, f"python{version}{build}")
            if results.check(f"{path} is there", os.path.exists(path)):
                yield path, os.path.join(base, "root")


def judge(name, python, sysroot, workload):
    where = ["--sysroot", sysroot] if sysroot else []
    with tempfile.TemporaryDirectory() as folder:
        truth, ours, top = (os.path.join(folder, n) for n in ("truth", "ours", "top"))
        with subprocess.Popen([python, os.path.join(ORACLE, "truth.py"), truth, workload], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as target:
            if not results.check(f"{name}: the truth is known", target.stdout.readline() == f"ready {target.pid}\n"):
                print(target.communicate()[1])
                return
            for path, command in ((ours, ["objects", "--refs", "-f", "jsonl"]), (top, ["top", "--json"])):
                r = subprocess.run([PYHEAP, *command, *where, "-o", path, str(target.pid)], capture_output=True, text=True)
                results.check(f"{name}: pyheap {command[0]}", r.returncode == 0, r.stderr)
            target.kill()
        r = subprocess.run([sys.executable, os.path.join(ORACLE, "compare.py"), ours, truth, top], capture_output=True,
                           text=True)
        print(f"{name}: {r.stdout.splitlines()[-1] if r.stdout else r.stderr}", flush=True)
        results.check(f"{name}: as gc and sys say", r.returncode == 0, r.stdout + r.stderr)


def main():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(cache, "pyheap-interpreters")
    for python, sysroot in [*((p, None) for p in interpreters()), *debian(folder)]:
        for workload in sorted(glob.glob(os.path.join(ORACLE, "workload_*.py"))):
            judge(f"{python.rpartition('/')[2] if sysroot else python} {os.path.basename(workload)}", python, sysroot, workload)
    return results.finish()


sys.exit(main())
