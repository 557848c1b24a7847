#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cores that are cut off, damaged, or of a moment inside a collection."""
import json
import os
import random
import subprocess
import sys

from support import PYHEAP, Results, Sample, interpreters, pyheap, report, types_of, version_of

results = Results()
check = results.check
# 0 an answer, 2 unreadable, 3 no Python (left), 5 no layout fits, 7 refused: never a crash
FAIR = (0, 2, 3, 5, 7)

COLLECTING = """
import gc, os, sys
class Node:
    pass
class Last:
    def __del__(self):
        print("ready", os.getpid(), flush=True)
        sys.stdin.readline()
gc.disable()
first = node = Node()
for _ in range(499):
    node.next = Node()
    node = node.next
node.next = first
node.last = Last()
node.last.node = node
node = first = None
gc.collect()
print("over", flush=True)
sys.stdin.readline()
"""


def check_collecting(name, python, directory):
    """The collector has taken the cycle off its lists and is in a finalizer."""
    script = os.path.join(directory, "collecting.py")
    with open(script, "w") as f:
        f.write(COLLECTING)
    with Sample(python, script) as sample:
        live = report(results, "top", sample.pid)
        core = report(results, "top", sample.gcore())
        for what, doc in (("live", live), ("core", core)):
            if not doc:
                continue
            nodes = types_of(doc).get("__main__.Node", {"count": 0})["count"]
            check(f"{name} {what}: all 500 nodes are found", nodes == 500, nodes)
            check(f"{name} {what}: it says so", "collecting" in [n["kind"] for n in doc["notes"]], doc["notes"])
            check(f"{name} {what}: and that it is not complete", not doc["complete"])
        check(f"{name}: the collection goes on", sample.ask("go on").startswith("over"))


def run_damaged(name, path, rng):
    command = rng.choice((["top"], ["cycles", "--all"], ["top", "--no-retained"], ["objects", "--refs", "-f", "jsonl"]))
    try:
        r = subprocess.run([PYHEAP, *command, path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)
        err = r.stderr.decode(errors="replace")
        check(f"{name}: {command}", r.returncode in FAIR and "Sanitizer" not in err and "runtime error" not in err,
              (r.returncode, err))
        check(f"{name}: {command} says why", r.returncode == 0 or err.startswith("pyheap: "), err)
    except subprocess.TimeoutExpired:
        check(f"{name}: {command} ends", False)


def check_damaged(directory, path, seed):
    rng = random.Random(seed)
    with open(path, "rb") as f:
        whole = f.read()
    damaged = os.path.join(directory, "damaged")

    def attempt(name, data):
        with open(damaged, "wb") as f:
            f.write(data)
        run_damaged(name, damaged, rng)

    for i in range(12):
        attempt(f"cut off {i}", whole[:rng.randrange(len(whole)) & ~4095])
    for i in range(12):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 100, 10000, 100000))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        attempt(f"bits flipped {i}", data)
    for i in range(12):
        data = bytearray(whole)
        for _ in range(rng.choice((10, 1000, 50000))):
            to, of = rng.randrange(len(data) // 8) * 8, rng.randrange(len(data) // 8) * 8
            data[to:to + 8] = rng.choice((data[of:of + 8], b"\xff" * 8, bytes(8), (1 << rng.randrange(63)).to_bytes(8, "little")))
        attempt(f"words moved {i}", data)


def check_cut_off(path, directory):
    """What is left of a core is answered, and said to be incomplete."""
    with open(path, "rb") as f:
        whole = f.read()
    cut = os.path.join(directory, "cut")
    with open(cut, "wb") as f:
        f.write(whole[:len(whole) - 65536])
    r = pyheap("top", "--json", cut)
    if check("a core without its end is answered", r.returncode == 0, r.stderr):
        doc = json.loads(r.stdout)
        check("and said to be incomplete", not doc["complete"] and
              "truncated-core" in [n["kind"] for n in doc["notes"]], doc["notes"])
    check("--strict makes that exit status 6", pyheap("top", "--strict", cut).returncode == 6)
    r = subprocess.run([PYHEAP, "top", "--json", "-"], stdin=open(path, "rb"), capture_output=True, text=True)
    check("a core on standard input", r.returncode == 0, r.stderr)


CALLBACK = """
import ctypes, os, sys, threading
keep = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
threading.Thread(target=sys.stdin.readline, daemon=True).start()
print("ready", os.getpid(), flush=True)
threading.Event().wait()
"""


def check_complete(name, python, directory):
    """libffi maps a page of its code twice; new C libraries have guard pages in thread stacks."""
    script = os.path.join(directory, "callback.py")
    with open(script, "w") as f:
        f.write(CALLBACK)
    with Sample(python, script) as sample:
        docs = {"live": report(results, "top", sample.pid), "gcore": report(results, "top", sample.gcore())}
        docs["kernel core"] = report(results, "top", sample.kernel_core())
    for what, doc in docs.items():
        check(f"{name} {what}: nothing is missing", doc and doc["complete"], doc and doc["notes"])


def main():
    import tempfile
    seed = int(os.environ.get("SEED", "1"))
    print(f"SEED={seed}")
    with tempfile.TemporaryDirectory() as directory:
        for python in interpreters():
            version = "%d.%d.%d" % version_of(python)
            check_collecting("collecting " + version, python, directory)
            check_complete("callback " + version, python, directory)
        with Sample(next(interpreters()), "cycles.py") as sample:
            check_damaged(directory, sample.gcore(), seed)
            kernel = sample.kernel_core()
            check_damaged(directory, kernel, seed + 1)
            check_cut_off(kernel, directory)
    return results.finish()


sys.exit(main())
