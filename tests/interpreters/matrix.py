#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle, several interpreters in one process, and shipped layouts against debug information, on every interpreter: the
system's, Debian's of other suites as release and pydebug builds, and pyenv's where there are any. A required one that is missing fails.

    matrix.py [--small] [FOLDER]    FOLDER: where unpack.sh puts Debian's

--small: the oldest, a middle and the newest of Debian's release builds, one workload."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/live"))
from support import Results, WORKLOADS, interpreters, oracles, version_of  # noqa: E402
import test_interpreters  # noqa: E402
from test_layouts import same_reports  # noqa: E402

SUITES = (("bullseye", "3.9"), ("trixie", "3.13"), ("forky", "3.13"), ("forky", "3.14"), ("forky", "3.15"), ("sid", "3.13"),
          ("sid", "3.14"), ("sid", "3.15"))
SMALL = (("bullseye", "3.9"), ("trixie", "3.13"), ("sid", "3.15"))
results = Results()


def debian(folder, suites, builds):
    """(interpreter, folder with its files) of each build: "" release, "d" pydebug."""
    for suite, version in suites:
        r = subprocess.run([os.path.join(HERE, "unpack.sh"), suite, version, folder], capture_output=True, text=True)
        print(r.stdout.strip() or r.stderr.strip(), flush=True)
        if not results.check(f"{suite} {version} can be had", r.returncode == 0, r.stderr):
            continue
        base = os.path.join(folder, f"{suite}-{version}")
        for build in builds:
            path = os.path.join(base, f"python{version}{build}")
            if results.check(f"{path} is there", os.path.exists(path)):
                yield path, os.path.join(base, "root")


def main():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folders = [a for a in sys.argv[1:] if a != "--small"]
    folder = folders[0] if folders else os.path.join(cache, "pyheap-interpreters")
    if "--small" in sys.argv:
        builds, others, workloads = [], debian(folder, SMALL, ("",)), ["workload_basic.py"]
    else:
        builds = [(python, python, ()) for python in interpreters()]
        others, workloads = debian(folder, SUITES, ("", "d")), WORKLOADS
    others = list(others)
    builds += [(os.path.relpath(python, folder), python, ("--sysroot", root)) for python, root in others]
    for python, root in others:
        same_reports(results, python, "--sysroot", root)
    if "--small" not in sys.argv:
        test_interpreters.results = results
        for name, python, where in builds:
            test_interpreters.check_program(name, python, version_of(python), *where)
    oracles(results, [((f"{name} {workload}", python, workload, *where), {})
                      for name, python, where in builds for workload in workloads])
    return results.finish()


sys.exit(main())
