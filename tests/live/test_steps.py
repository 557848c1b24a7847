#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every path that `why` prints for objects in all kinds of holders, and for others of all
types, is evaluated in the process itself: each step leads where pyheap says, by the means
of Python; what Python cannot reach is among what the holder refers to."""
import collections
import concurrent.futures
import json
import os
import random
import re
import sys

from support import Holders, Results, VALIDATOR, some_interpreters, pyheap, read_objects, version_of

results = Results()
check = results.check
LIVE = 10           # one of so many is asked about in the process, the rest in a snapshot of it
OTHERS = 60         # random objects asked about besides the markers
PER_TYPE = 2        # of each type at most
SHARE = 0.95        # of the markers' steps that Python itself must reach
ARGS = [a for a in sys.argv[1:] if a != "-v"]
SEED = int(os.environ.get("PYHEAP_TEST_SEED", "0"), 0) or int.from_bytes(os.urandom(4), "little")


def others(objects, seed):
    """Random objects, of each type some."""
    chosen, of_type = [], collections.Counter()
    rng = random.Random(seed)
    for o in rng.sample(sorted(objects), len(objects)):
        if of_type[objects[o]["type"]] < PER_TYPE:
            of_type[objects[o]["type"]] += 1
            chosen.append(o)
    rng.shuffle(chosen)
    return chosen[:OTHERS]


def refers(objects, holder, to):
    """As `objects` has it; through the holder's namespace or the cells of its closure, too."""
    def of(a):
        return objects[a]["refs"] + objects[a]["owned"] if a in objects else []
    if to in of(holder):
        return True
    return any(to in of(a) for a in of(holder) if a in objects and objects[a]["type"] in ("dict", "tuple", "cell")) or \
        any(to in of(c) for a in of(holder) if a in objects and objects[a]["type"] == "tuple" for c in of(a)
            if c in objects and objects[c]["type"] == "cell")


def ask(name, target, addresses, *options):
    reports = []
    for a in addresses:
        r = pyheap("why", target, a, "--json", "-n", "5", "--values", *options)
        if not check(f"{name}: why {a}", r.returncode == 0, r.stderr):
            continue
        doc = json.loads(r.stdout)
        reports.append({"what": doc["what"], "paths": doc["paths"], "address": a})
        if len(reports) % 40 == 1:
            check(f"{name}: the report is valid", not list(VALIDATOR.iter_errors(doc)), a)
    return reports


def judge(name, objects, reports, verdicts, kinds):
    """Counts of steps reached by each means."""
    means = collections.Counter()
    for report, found in zip(reports, verdicts):
        what = kinds.get(report["address"]) or objects[report["address"]]["type"]
        for path, verdict in zip(report["paths"], found):
            reading = f"{path['root']['kind']} {path['root']['name']} {path['reading']}"
            means["root " + (verdict[0] if verdict[0] in ("python", "unknown") else "wrong")] += 1
            check(f"{name}: {what}: root of {reading}", verdict[0] in ("python", "unknown"), verdict[0])
            end = path["steps"][-1]["address"] if path["steps"] else path["root"]["address"]
            check(f"{name}: {what}: {reading} ends there", end == report["address"], path)
            before = path["root"]["address"]
            holder = path["root"]["type"]
            for step, how in zip(path["steps"], verdict[1:]):
                if how == "python":
                    means["python"] += 1
                    results.passed += 1
                elif how.startswith("wrong"):
                    means["wrong"] += 1
                    check(f"{name}: {what}: {step['via']} of {holder} in {reading}", False, how)
                else:
                    means["refs"] += 1
                    known = how == "no object" or not re.match(r"[.\[]|local |cell ", step["via"]) or \
                        (step["via"], step["type"]) == (".__annotations__", "tuple")
                    check(f"{name}: {what}: {step['via']} of {holder} in {reading} by --refs",
                          known and refers(objects, before, step["address"]),
                          f"{how}: {before} -> {step['address']}")
                    if "-v" in sys.argv:
                        print(f"{name}: {what}: {step['via']} of {holder}")
                before, holder = step["address"], step["type"]
    return means


def check_interpreter(python):
    name = "%d.%d.%d" % version_of(python)
    with Holders(python) as target:
        addresses = target.facts["markers"]
        path = os.path.join(target.dir.name, "objects")
        snap = os.path.join(target.dir.name, "snapshot")
        for command in (["objects", "--refs", "-f", "jsonl", "-o", path], ["snapshot", "--values", "-o", snap]):
            r = pyheap(*command, target.pid)
            if not check(f"{name}: pyheap {command[0]}", r.returncode == 0, r.stderr):
                return
        objects = read_objects(path)
        kinds = {"0x%x" % a: kind for kind, a in addresses.items()}
        for a, kind in kinds.items():
            check(f"{name}: {kind} is there", a in objects and objects[a]["type"].startswith("__main__."))
        markers = [a for a in kinds if a in objects]
        reports = ask(name, target.pid, markers[::LIVE])
        reports += ask(name, snap, [a for i, a in enumerate(markers) if i % LIVE])
        for r in reports:
            check(f"{name}: {kinds[r['address']]} has a path", r["paths"])
        nmarkers = len(reports)
        reports += ask(name, snap, others(objects, SEED))
        verdicts = target.evaluate(reports)
    markers = judge(name, objects, reports[:nmarkers], verdicts[:nmarkers], kinds)
    rest = judge(name, objects, reports[nmarkers:], verdicts[nmarkers:], kinds)
    share = markers["python"] / max(1, markers["python"] + markers["refs"] + markers["wrong"])
    check(f"{name}: steps that Python reaches", share > SHARE, markers)
    print(f"{name}: {nmarkers} markers {dict(markers)}, {len(reports) - nmarkers} others {dict(rest)}", flush=True)


def main():
    pythons = [p for p in some_interpreters() if not ARGS or any(a in p for a in ARGS)]
    print(f"PYHEAP_TEST_SEED={SEED}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(check_interpreter, python) for python in pythons]:
            done.result()
    return results.finish()


sys.exit(main())
