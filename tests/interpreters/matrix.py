#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle, programs with several interpreters, and shipped layouts against debug information, on
every CPython: the system's, Debian's of other suites as release and pydebug builds, and pyenv's where
there are any. A required one that is missing fails.

    matrix.py [--small | --free-threaded [BUILD]...] [FOLDER]    FOLDER: where unpack.sh puts Debian's

--small: the oldest, a middle and the newest of Debian's release builds, one workload; so
also of the free-threaded one, where that is built already.
--free-threaded: Pythons without a GIL, which build.sh builds, with what one thread has made
and what four have, also in cores, and at random instants. BUILD: SUITE-VERSION of FREE_THREADED,
or all; the first is the default."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/live"))
from support import PYHEAP, Results, Sample, WORKLOADS, interpreters, oracles, version_of  # noqa: E402
import test_interpreters  # noqa: E402
from test_layouts import same_reports  # noqa: E402

SUITES = (("bullseye", "3.9"), ("trixie", "3.13"), ("forky", "3.13"), ("forky", "3.14"), ("forky", "3.15"), ("sid", "3.13"),
          ("sid", "3.14"), ("sid", "3.15"))
SMALL = (("bullseye", "3.9"), ("trixie", "3.13"), ("sid", "3.15"))
# no suite has them as packages
FREE_THREADED = (("trixie", "3.13t"), ("forky", "3.13t"), ("trixie", "3.13td"), ("sid", "3.14t"), ("sid", "3.15t"))
# start threads themselves, and are large
OWN_THREADS = ("workload_threads.py", "workload_ended.py")
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


def built(folder, suite, version, *options):
    """The free-threaded interpreter, which need not be there with --if-built."""
    r = subprocess.run([os.path.join(HERE, "build.sh"), *options, suite, version, folder], capture_output=True, text=True)
    print(r.stdout.strip() or r.stderr.strip() or f"skipped: {suite} {version} is not built here", flush=True)
    if options or results.check(f"{suite} {version} can be built", r.returncode == 0, r.stderr):
        return r.stdout.strip().rpartition(", ")[2]


LARGE = """
import sys, threading
KEEP = []
threads = [threading.Thread(target=lambda: KEEP.append([[i] for i in range(60000)])) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("ready", flush=True)
sys.stdin.readline()
"""


# a child begins with the peak of the process that it is forked from: a small one
MEASURE = """
import resource, subprocess, sys
print(subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_bytes(*args):
    """Exit status, and peak of memory, of a run of pyheap."""
    r = subprocess.run([sys.executable, "-c", MEASURE, PYHEAP, *args], stdout=subprocess.PIPE, text=True, check=True)
    status, peak = map(int, r.stdout.split())
    return status, peak << 10


def sparse(name, python):
    """The allocator reserves 1 GiB: neither live nor in a core does more of it cost memory than is used."""
    with Sample([python, "-c", LARGE], None) as target:
        target.stands_still()
        with open(f"/proc/{target.pid}/statm") as f:
            resident = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        live = peak_bytes("top", "-q", str(target.pid))
        path = target.kernel_core()
        core, size = peak_bytes("top", "-q", path), os.stat(path)
    print(f"{name}: {resident >> 20} MB resident; core {size.st_size >> 20} MB long, {size.st_blocks >> 11} MB on disk; "
          f"peak live {live[1] >> 20} MB, core {core[1] >> 20} MB", flush=True)
    results.check(f"{name}: the core is sparse", size.st_size > 1 << 30 > size.st_blocks << 9, size)
    for what, (status, peak) in (("live", live), ("core", core)):
        # what is read, and what is kept of it
        results.check(f"{name}: {what} within memory", status == 0 and peak < 2 * resident + (32 << 20), (status, peak))


def random_instants(name, python, **more):
    r = subprocess.run([sys.executable, os.path.join(ROOT, "tests/live/test_busy.py"), python], env={**os.environ, **more})
    results.check(f"{name}: at random instants", r.returncode == 0)


def free_threaded(folder, wanted):
    """Objects of one thread and of four, live and in cores, and answers of a target that runs."""
    known = ["-".join(build) for build in FREE_THREADED]
    wanted = known if wanted == ["all"] else wanted or known[:1]
    for name in wanted:
        python = results.check(f"{name} is known", name in known, known) and built(folder, *name.split("-"))
        if not python:
            continue
        same_reports(results, python)
        test_interpreters.check_program(name, python, version_of(python))
        oracles(results, [((f"{name}, {threads} threads, {workload}", python, workload), {"threads": threads, "cores": True})
                          for workload in WORKLOADS for threads in (0, 4)
                          if not threads or workload not in OWN_THREADS])
        sparse(name, python)
        random_instants(name, python)


def main():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    arguments = [a for a in sys.argv[1:] if not a.startswith("-")]
    folders = [a for a in arguments if "/" in a]
    folder = folders[0] if folders else os.path.join(cache, "pyheap-interpreters")
    if "--free-threaded" in sys.argv:
        free_threaded(folder, [a for a in arguments if a not in folders])
        return results.finish()
    jobs = []
    if "--small" in sys.argv:
        builds, others, workloads = [], debian(folder, SMALL, ("",)), ["workload_basic.py"]
        python = built(folder, *FREE_THREADED[0], "--if-built")
        if python:
            jobs = [(("-".join(FREE_THREADED[0]), python, "workload_basic.py"), {"threads": 4})]
            random_instants("-".join(FREE_THREADED[0]), python, BUSY_ROUNDS="10")
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
    oracles(results, jobs + [((f"{name} {workload}", python, workload, *where), {})
                             for name, python, where in builds for workload in workloads])
    return results.finish()


sys.exit(main())
