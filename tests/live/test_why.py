#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every path that `why` prints, evaluated within the target, gives the object that it
says; the fewest references (--all) are those of a breadth-first search over `objects --refs`."""
import collections
import json
import os
import random
import tempfile

from support import ROOT, Results, Sample, interpreters, pyheap, version_of

results = Results()
check = results.check
HOLDERS = os.path.join(ROOT, "tests/live/holders.py")
OTHERS = 60  # random objects, beside the markers


def why(target, what, *args):
    r = pyheap("why", target, what, "--json", "--no-retained", *args)
    return json.loads(r.stdout) if r.returncode == 0 else None


class Heap:
    """What `objects` tells: references of each object, and the roots."""

    def __init__(self, target):
        self.refs, self.roots, self.types = {}, set(), {}
        r = pyheap("objects", target, "--refs", "--roots", "-f", "jsonl")
        for line in r.stdout.splitlines():
            row = json.loads(line)
            address = row["address"]
            self.refs[address] = row["refs"] + row["owned"]
            self.types[address] = row["type"]
            # held from outside: see docs/paths.md; a static type is not collected
            if row["excess"] or row["refcount"] is None or row["generation"] == "permanent" or \
                    (row["type"] == "type" and not row["tracked"]):
                self.roots.add(address)

    def distances(self):
        """Of every object from the nearest root."""
        found = {address: 0 for address in self.roots if address in self.refs}
        todo = collections.deque(found)
        while todo:
            address = todo.popleft()
            for to in self.refs[address]:
                if to not in found and to in self.refs:
                    found[to] = found[address] + 1
                    todo.append(to)
        return found


def check_steps(name, heap, path):
    """Each step is over a reference, or two or three where one is folded."""
    before = path["root"]["address"]
    for s in path["steps"]:
        reached, level = {before}, 0
        while s["address"] not in reached and level < 3:
            reached = {to for address in reached for to in heap.refs.get(address, ())}
            level += 1
        if s["address"] not in reached:
            return check(f"{name}: {s['via']} is a reference", False, path)
        before = s["address"]
    return True


def check_evaluation(name, sample, docs):
    """Every path of all documents; counts what Python itself could confirm."""
    paths = [p for d in docs for p in d["paths"]]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(paths, f)
        f.flush()
        sample.ask(f.name)
        with open(f.name + ".answer") as answer:
            answers = json.load(answer)
        os.unlink(f.name + ".answer")
    total = collections.Counter()
    for path, (wrong, counts) in zip(paths, answers):
        check(f"{name}: a path gives its object", wrong is None, (wrong, path["root"], path["reading"]))
        total.update(counts)
    return len(paths), total


def run(python):
    name = ".".join(map(str, version_of(python)))
    with Sample(python, HOLDERS) as sample:
        said = json.loads(sample.line.split(" ", 1)[1])
        snapshot = os.path.join(sample.dir.name, "snapshot")
        r = pyheap("snapshot", sample.pid, "-o", snapshot, "-q", "--values")
        if not check(f"{name}: pyheap snapshot", r.returncode == 0, r.stderr):
            return
        heap = Heap(snapshot)
        threads = json.loads(pyheap("threads", snapshot, "--json").stdout)
        heap.roots |= {hex(m) for m in said["modules"]}
        heap.roots |= {v["address"] for t in threads["threads"] for f in t["frames"] for v in f["locals"]}
        distance = heap.distances()
        docs = []
        for where, address in said["markers"]:
            doc = why(snapshot, hex(address), "-n", "3")
            if check(f"{name}: a path to the marker {where}", doc and doc["paths"], doc and doc["what"]):
                docs.append(doc)
                check(f"{name}: {where}: three paths at most, the best first", len(doc["paths"]) <= 3)
        random.seed(name)
        others = random.sample(sorted(distance), OTHERS)
        for address in others:
            doc = why(snapshot, address)
            check(f"{name}: a path to {heap.types[address]}", doc and doc["paths"], address)
            docs.append(doc)
            plain = why(snapshot, address, "--all", "-n", "1")
            check(f"{name}: as short as a breadth-first search finds", plain["paths"][0]["length"] == distance[address],
                  (plain["paths"][0], distance[address]))
        for doc in docs:
            for path in doc["paths"]:
                check_steps(name, heap, path)
        # the live process says the same as its snapshot
        live = why(sample.pid, hex(said["markers"][5][1]), "--values", "-n", "3")
        check(f"{name}: live as in the snapshot", live and live["paths"] == docs[5]["paths"], live)
        marker = why(snapshot, "__main__.Marker")
        check(f"{name}: all markers are on some path",
              sum(p["count"] for p in marker["paths"]) == len(said["markers"]) and not marker["what"]["garbage"],
              marker["what"])
        n, total = check_evaluation(name, sample, docs)
        share = total["python"] / sum(total.values())
        print(f"{name}: {n} paths, {dict(total)}", flush=True)
        check(f"{name}: nearly all steps can be evaluated", share > 0.9, total)


for interpreter in interpreters():
    run(interpreter)
raise SystemExit(results.finish())
