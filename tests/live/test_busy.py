#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A target whose threads change its heap all the time, and one that does nothing but
collect, are stopped at random instants, inside deallocations, resizes of tables and
every phase of a collection: an answer every time, with notes where something was torn,
and the target goes on. So too without a stop: never more is torn than before it was read again.

    test_busy.py [PYTHON]...    of these, and not of all that are here; also with objects that
                                threads pass to each other, and threads that end"""
import json
import os
import random
import re
import statistics
import sys
import time

from support import SYSTEM_PYTHON, Results, Sample, interpreters, pyheap, types_of, version_of

ROUNDS = int(os.environ.get("BUSY_ROUNDS", "200"))
MANY = 50        # answers: of fewer chance alone decides how many are complete
AT_A_TIME = 20
results = Results()
check = results.check

BUSY = """
import os, sys, threading
class Node:
    def __init__(self, other):
        self.other = other
        self.table = {i: [i] for i in range(20)}
class Kept:
    pass
KEPT = [Kept() for _ in range(1000)]
beats = [0] * 4
def work(me):
    keep = {}
    n = 0
    while True:
        n += 1
        node = Node(None)
        node.other = Node(node)
        keep["key %d" % (n % 500)] = node
        if n % 700 == 0:
            keep.clear()
        "%d %s" % (n, "x" * (n % 100))
        beats[me] += 1
sys.setswitchinterval(1e-5)
for i in range(4):
    threading.Thread(target=work, args=(i,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print(sum(beats), flush=True)
"""
# one collection after the other, with garbage and what stays
COLLECTING = """
import gc, sys, threading
class Kept:
    pass
KEPT = [Kept() for _ in range(1000)]
for k in KEPT:
    k.others = [k, {"list": KEPT}]
beats = [0]
def work():
    while True:
        for _ in range(500):
            a, b = [], []
            a.append(b)
            b.append(a)
        gc.collect()
        beats[0] += 1
threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print(sum(beats), flush=True)
"""
# what one thread makes another one changes and drops, and threads end all the time
PASSING = """
import sys, threading
class Node:
    def __init__(self, other):
        self.other = other
        self.table = {i: [i] for i in range(20)}
class Kept:
    pass
KEPT = [Kept() for _ in range(1000)]
SHARED, GROWING = [None] * 500, {}
beats = [0] * 4
def short(n):
    SHARED[n % 500] = [Node(Node(None)) for _ in range(20)]
def work(me):
    n = me
    while True:
        n += 1
        node = Node(SHARED[n * 7 % 500])
        SHARED[n % 500] = node
        node.other = Node(node)
        GROWING[n] = node
        if n % 3000 == 0:
            GROWING.clear()
            SHARED[:] = [None] * 500
        if n % 200 == 0:
            t = threading.Thread(target=short, args=(n,))
            t.start()
            t.join()
        beats[me] += 1
for i in range(4):
    threading.Thread(target=work, args=(i,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print(sum(beats), flush=True)
"""
FAIR_NOTES = {"inexact-references", "inexact-size", "negative-excess", "collecting", "bad-reference", "bad-object", "heap-size",
              "bad-list", "python-sizeof", "not-paused", "missing-pages", "replay-failed"}
UNPAUSED_NOTES = FAIR_NOTES | {"torn-objects", "bad-size", "bad-type"}
TORN = re.compile(r"what was torn: ([\d.]+) ms; \d+ pages were read again, \d+ times; "
                  r"of (\d+) references that led nowhere (\d+) are left")


def bounded(doc):
    """The notes that tell of more than a few objects among a thousand."""
    return {n["kind"]: n["count"] for n in doc["notes"] if n["count"] > 100 + doc["totals"]["objects"] // 200}


def one(name, sample, *options):
    r = pyheap("top", "--json", *options, sample.pid)
    if not check(f"{name}: an answer", r.returncode == 0, (r.returncode, r.stderr)):
        return None
    doc = json.loads(r.stdout)
    kinds = {n["kind"] for n in doc["notes"]}
    check(f"{name}: fair notes", kinds <= (UNPAUSED_NOTES if "none" in options else FAIR_NOTES), kinds)
    if "none" not in options:
        check(f"{name}: few in each", not bounded(doc), bounded(doc))
    return doc


def unpaused(name, python, script, rounds, rng):
    """Of a target that is not stopped: references that lead nowhere as it was copied, and what stays of them."""
    first, left, ms = [], [], []
    with Sample(python, script) as sample:
        for _ in range(rounds):
            r = pyheap("top", "--json", "-v", "--pause", "none", sample.pid)
            if not check(f"{name}: an answer", r.returncode == 0, (r.returncode, r.stderr)):
                continue
            notes = {n["kind"]: n["count"] for n in json.loads(r.stdout)["notes"]}
            check(f"{name}: fair notes", set(notes) <= UNPAUSED_NOTES, notes)
            torn = TORN.search(r.stderr)
            if torn:
                first.append(int(torn[2]))
                left.append(int(torn[3]))
                ms.append(float(torn[1]))
                check(f"{name}: no more than before", left[-1] <= first[-1], torn[0])
            time.sleep(rng.random() * 0.05)
        before = int(sample.ask("beats"))
        deadline = time.monotonic() + 10
        while int(sample.ask("beats")) == before and time.monotonic() < deadline:
            pass
        check(f"{name}: it goes on", int(sample.ask("beats")) > before)
    if first:
        print(f"{name}: {len(first)} of {rounds} torn, median {statistics.median(first):.0f} references, read again "
              f"{statistics.median(left):.0f} (all: {sum(first)}, {sum(left)}), {statistics.median(ms):.1f} ms", flush=True)


def instants(name, python, script, rounds, rng):
    """How many of the answers are complete, and in how many a call of the objects' own code failed."""
    complete = failed = 0
    with Sample(python, script) as sample:
        for _ in range(rounds):
            doc = one(name, sample)
            if doc:
                complete += doc["complete"]
                failed += "replay-failed" in {n["kind"] for n in doc["notes"]}
                kept = types_of(doc).get("__main__.Kept", {"count": 0})["count"]
                check(f"{name}: what does not change is there", kept == 1000 or not doc["complete"], kept)
            time.sleep(rng.random() * 0.005)
        one(f"{name} --pause none", sample, "--pause", "none")
        before = after = int(sample.ask("beats"))
        # on a machine with much to do no thread may have its turn for a while
        deadline = time.monotonic() + 10
        while after == before and time.monotonic() < deadline:
            after = int(sample.ask("beats"))
        check(f"{name}: it goes on", after > before, (before, after))
    return complete, failed


def busy(name, python, script, rounds, rng):
    """The same, of several processes: a free-threaded one grows by gigabytes, though what it has does not."""
    parts = [instants(name, python, script, min(AT_A_TIME, rounds - done), rng)
             for done in range(0, rounds, AT_A_TIME)]
    complete, failed = (sum(p[i] for p in parts) for i in range(2))
    print(f"{name}: {complete} of {rounds} answers are complete, in {failed} of them a call failed", flush=True)
    return complete, failed


def main():
    import tempfile
    seed = int(os.environ.get("SEED", "1"))
    rng = random.Random(seed)
    print(f"SEED={seed}")
    with tempfile.TemporaryDirectory() as folder:
        scripts = {}
        for name, text in (("busy", BUSY), ("collecting", COLLECTING), ("passing", PASSING)):
            scripts[name] = os.path.join(folder, name + ".py")
            with open(scripts[name], "w") as f:
                f.write(text)
        answers = whole = failed = 0
        every = sys.argv[1:] or list(interpreters())
        for python in every:
            version = "%d.%d.%d" % version_of(python)
            rounds = ROUNDS if python == SYSTEM_PYTHON or sys.argv[1:] else ROUNDS // 5
            answers += rounds
            found = busy("busy " + version, python, scripts["busy"], rounds, rng)
            whole += found[0]
            failed += found[1]
            busy("collecting " + version, python, scripts["collecting"], max(rounds // 5, 5), rng)
            if sys.argv[1:]:
                busy("passing " + version, python, scripts["passing"], rounds, rng)
        if not sys.argv[1:]:
            del scripts["passing"]
        for python in [every[0], *every[1:2], *every[2:][-1:]]:
            version = "%d.%d.%d" % version_of(python)
            for name in scripts:
                unpaused(f"{name} {version} --pause none", python, scripts[name], max(ROUNDS // 8, 5), rng)
    # how often a thread is met in the midst of a change is chance; it is not always so
    check("there are complete answers", whole * 5 > answers or (whole and answers < MANY), (whole, answers))
    # nor is the GIL always on its way from one thread to another, and that does not matter
    check("calls fail rarely", failed * 10 <= answers, (failed, answers))
    return results.finish()


sys.exit(main())
