#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every sample on the system's Python, two of them on every other interpreter:
known counts and sizes, live and from cores, cycles and their cut, diff."""
import glob
import json
import os
import re
import signal
import sys

from support import ROOT, Results, Sample, interpreters, pyheap, report, types_of, version_of

results = Results()
check = results.check


def expected(script):
    """`expect: TYPE N` and `expect: TYPE >= N` lines of a sample's docstring."""
    with open(os.path.join(ROOT, "samples", script)) as f:
        for t, at_least, n in re.findall(r"^expect: (\S+) (>= )?(\d+)$", f.read(), re.M):
            yield t, bool(at_least), int(n)


def without_run(doc):
    """What is the same for a process and a core of it: all but the run, and what
    only the kernel knows of a process."""
    doc = {k: v for k, v in doc.items() if k != "run"}
    return {**doc, "totals": {k: v for k, v in doc["totals"].items() if k != "memory"}}


def check_counts(name, script, doc):
    types = types_of(doc)
    for t, at_least, n in expected(script):
        got = types.get(t, {"count": 0})["count"]
        check(f"{name}: {t} {'>=' if at_least else '='} {n}", got >= n if at_least else got == n, got)


def check_truth(name, doc, truth):
    """Types of which there are no others: count and sizes equal to the byte."""
    types = types_of(doc)
    for t, (count, size) in truth.items():
        row = types.get(t, {"count": 0, "shallow_bytes": 0})
        if t.startswith("__main__."):
            check(f"{name}: {t} as the program counts", (row["count"], row["shallow_bytes"]) == (count, size),
                  (row, count, size))
        else:
            check(f"{name}: {t}: none is missing", row["count"] >= count and row["shallow_bytes"] >= size,
                  (row, count, size))


def same_heap(a, b):
    """Equal reports but for `run` and for what only a process has: its resident memory."""
    def stripped(doc):
        return {**without_run(doc), "totals": {**doc["totals"], "memory": None}}
    return stripped(a) == stripped(b)


def check_sources(name, script, sample):
    """The live process, a gcore core and a kernel core of one moment."""
    # asked first: once the target has read the question it waits again, as before
    truth = json.loads(sample.ask("truth")) if script in ("growing_cache.py", "many_dicts.py") else {}
    os.kill(sample.pid, signal.SIGSTOP)
    live = report(results, "top", sample.pid)
    gcore = report(results, "top", sample.gcore())
    again = report(results, "top", sample.pid)
    if not (live and gcore and again):
        return
    check(f"{name}: live is complete", live["complete"], live["notes"])
    check_counts(name, script, live)
    check_truth(name, live, truth)
    check(f"{name}: gcore says the same as live", same_heap(gcore, live))
    check(f"{name}: live says the same twice", without_run(again) == without_run(live))
    check(f"{name}: coverage", live["coverage"] >= 0.98, live["coverage"])
    try:
        kernel = report(results, "top", sample.kernel_core())
    except RuntimeError as e:
        check(f"{name}: a kernel core", False, e)
        return
    check(f"{name}: the kernel core says the same as live", kernel and same_heap(kernel, live),
          kernel and [t for t in kernel["types"] if t not in live["types"]][:5])


def check_cycles(name, python, script, weakenings=None):
    with Sample(python, script) as sample:
        doc = report(results, "cycles", sample.pid)
        found = json.loads(sample.ask("collect"))
    if not doc:
        return
    total = sum(found.values())
    check(f"{name}: tracked garbage is what gc.collect() finds", doc["totals"]["garbage_tracked"] == total,
          (doc["totals"]["garbage_tracked"], total, found))
    garbage = [c for c in doc["cycles"] if c["state"] == "garbage"]
    check(f"{name}: garbage cycles are listed", len(garbage) >= 1, doc["cycles"])
    if not weakenings or not garbage:
        return
    cut = garbage[0]["cut"] or {}
    how = weakenings.get((cut.get("type"), cut.get("label")))
    if not check(f"{name}: the cut", how, cut):
        return
    with Sample(python, script, how, "collected") as sample:
        doc = report(results, "cycles", sample.pid)
        check(f"{name}: applied as a weak reference, it leaves no garbage",
              doc and doc["totals"]["garbage_tracked"] == 0, doc and doc["totals"])


def check_diff(name, python):
    with Sample(python, "growing_cache.py") as sample:
        old, new = os.path.join(sample.dir.name, "old.json"), os.path.join(sample.dir.name, "new.json")
        check(f"{name}: -o", pyheap("top", "--json", "-o", old, sample.pid).returncode == 0)
        sample.ask("grow 3000")
        check(f"{name}: -o", pyheap("top", "--json", "-o", new, sample.pid).returncode == 0)
        doc = report(results, "diff", old, new)
        live = report(results, "diff", old, sample.pid)
        core = report(results, "diff", sample.gcore(), new)
        if not (doc and live and core):
            return
        check(f"{name}: the leaking type comes first", doc["types"][0]["type"] == "__main__.Session", doc["types"][0])
        check(f"{name}: and grew by 3000", doc["types"][0]["delta"]["count"] == 3000, doc["types"][0])
        # the program goes on reading its input meanwhile: only what it leaks is the same
        check(f"{name}: a process in place of a report",
              types_of(live)["__main__.Session"] == types_of(doc)["__main__.Session"], live["types"][:2])
        check(f"{name}: a core in place of a report",
              types_of(core)["__main__.Session"]["delta"]["count"] == 0, core["types"][:2])
        for options, status in ((["--max-growth", "1"], 1), (["--max-growth", "10000"], 0),
                                (["--max-growth-bytes", "64K"], 1), (["--max-growth-bytes", "1G"], 0),
                                (["--max-count", "__main__.Session=22999"], 1),
                                (["--max-count", "__main__.Session=23000"], 0),
                                (["--max-count", "__main__.Nothing=0", "--max-count", "__main__.Session=1"], 1)):
            r = pyheap("diff", *options, old, new)
            check(f"{name}: {options}: exit status {status}", r.returncode == status, (r.returncode, r.stderr))
        cut = os.path.join(sample.dir.name, "cut.json")
        pyheap("top", "--json", "-n", "5", "-o", cut, sample.pid)
        check(f"{name}: a cut report is refused", pyheap("diff", old, cut).returncode == 2)


RETAINED = """
import os, sys
class Holder:
    pass
HOLDER = Holder()
HOLDER.__dict__
HOLDER.table = {"a distinct key %d" % i: "a distinct value %d" % i for i in range(5000)}
size = sys.getsizeof
total = sum(size(k) + size(v) for k, v in HOLDER.table.items()) + size(HOLDER.table) + size(HOLDER) + size(HOLDER.__dict__)
k = v = None
print("ready", total, flush=True)
sys.stdin.readline()
"""


def check_retained(name, python, version):
    """What only one object keeps alive, to the byte."""
    import subprocess
    with subprocess.Popen([python, "-c", RETAINED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        total = int(p.stdout.readline().split()[1])
        doc = report(results, "top", p.pid)
        p.kill()
    row = types_of(doc)["__main__.Holder"] if doc else None
    if row:
        # what the instance owns beyond sys.getsizeof is in pyheap's figure by definition
        check(f"{name}: retained to the byte", row["retained_bytes"] == total + row["uncounted_bytes"], (row, total))


CHAIN = """
import resource, sys
class Link:
    __slots__ = ("next",)
head = None
for _ in range(1000000):
    l = Link()
    l.next = head
    head = l
print("ready", flush=True)
sys.stdin.readline()
"""


def check_deep(python):
    import subprocess
    with subprocess.Popen([python, "-c", CHAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        p.stdout.readline()
        for command in ("top", "cycles"):
            r = subprocess.run(["sh", "-c", 'ulimit -s 256; exec "$@"', "sh", os.environ.get("PYHEAP", "build/pyheap"),
                                command, "--json", str(p.pid)], capture_output=True, text=True)
            if check(f"{command} of a million links with a stack of 256 KiB", r.returncode == 0, r.stderr) and command == "top":
                row = types_of(json.loads(r.stdout))["__main__.Link"]
                check("all links", row["count"] == 1000000, row)
                check("the first retains all", row["retained_bytes"] >= row["shallow_bytes"], row)
        p.kill()


def main():
    pythons = list(interpreters())
    print("interpreters:", " ".join(pythons))
    for python in pythons:
        v = version_of(python)
        system = python == pythons[0]
        name = "%d.%d.%d" % v + (" (system)" if system else "")
        scripts = sorted(os.path.basename(p) for p in glob.glob(os.path.join(ROOT, "samples", "*.py")))
        for script in scripts if system else ("growing_cache.py", "many_dicts.py"):
            if script == "sample.py":
                continue
            with Sample(python, script) as sample:
                check_sources(f"{name} {script}", script, sample)
        check_cycles(f"{name} cycles.py", python, "cycles.py", 
                     {("__main__.Leaf", ".a"): "weak-a", ("__main__.Node", ".b"): "weak-b"})
        check_cycles(f"{name} exception_frames.py", python, "exception_frames.py")
        check_cycles(f"{name} closures.py", python, "closures.py")
        check_diff(f"{name} diff", python)
        check_retained(f"{name} retained", python, v)
    check_deep(pythons[0])
    return results.finish()


sys.exit(main())
