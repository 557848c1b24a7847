#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaks that people have: one command names what to change. What dominators, explain,
top --by path, diff --by path and three moments say of them; retained sizes against removal
from the exported graph."""
import json
import os
import random

from support import ROOT, Results, Sample, some_interpreters, pyheap, report, version_of

results = Results()
check = results.check
LEAKS = os.path.join(ROOT, "tests/live/leaks.py")
SAMPLED = 150
STEP = 400  # as the program grows

# type, where most of its objects hang (≥3.11, ≤3.10)
EXPECTED = (
    ("Request", "module __main__.audit_log[…]", None),
    ("Session", "module __main__.Pool.free[…]", None),
    ("Handler", "module __main__.Pool.free[…].handlers[…]", None),
    ("Service", "module __main__.Service.compute <cached key>", "<cache>"),
    ("Entry", "module __main__.by_name[…]", None),
    ("Held", "module __main__.failures[…].__traceback__.tb_next.tb_frame local local in fail (leaks.py:", None),
)


def named(path):
    root = path["root"]
    return f"{root['kind']} {root['name']}{path['reading']}"


def check_why(name, target):
    for kind, want, other in EXPECTED:
        doc = report(results, "why", target, "__main__." + kind)
        if not doc or not check(f"{name}: paths of {kind}", doc["paths"], doc):
            continue
        first = named(doc["paths"][0])
        check(f"{name}: {kind} hangs on {want}", first.startswith(want) or (other and other in first), first)
        check(f"{name}: and nearly all do", doc["paths"][0]["count"] * 2 > doc["what"]["count"] - doc["what"]["garbage"],
              doc["paths"][0])
        text = pyheap("why", target, "__main__." + kind).stdout
        check(f"{name}: on one screen", 3 < len(text.splitlines()) <= 24, text)
    doc = report(results, "why", target, "__main__.Request")
    check(f"{name}: those of a thread by its local", any(
        named(p).startswith("local jobs in worker (leaks.py:") and p["count"] == 50 for p in doc["paths"]), doc["paths"])
    alone = report(results, "why", target, "__main__.Request", "--avoid", ".audit_log")
    check(f"{name}: --avoid", sum(p["count"] for p in alone["paths"]) < 60 and alone["what"]["unreached"] > 40,
          alone["what"])
    alone = report(results, "why", target, "__main__.Request", "--through", "local jobs*")
    check(f"{name}: --through", sum(p["count"] for p in alone["paths"]) == 50, alone["paths"])


def check_dominators(name, target, said):
    doc = report(results, "dominators", target)
    rows = doc["dominators"]
    places = [f"{r['path']['root']['kind']} {r['path']['root']['name']}{r['path']['reading']}" for r in rows if r["path"]]
    for want in ("module __main__.audit_log", "module __main__.Pool.free", "module __main__.by_name"):
        check(f"{name}: {want} is one of the heaviest", want in places[:12], places[:12])
    total = doc["totals"]["shallow_bytes"] + doc["totals"]["uncounted_bytes"]
    check(f"{name}: rows and the rest make up the heap",
          sum(r["retained_bytes"] for r in rows) + doc["other"]["retained_bytes"] == total)
    check(f"{name}: and all objects",
          sum(r["objects"] for r in rows) + doc["other"]["objects"] == doc["totals"]["objects"])
    inside = report(results, "dominators", target, said["log"])
    check(f"{name}: what is in a list", inside["dominators"][0]["type"] == "__main__.Request" and
          inside["dominators"][0]["path"]["reading"].startswith("["), inside["dominators"][0])
    by_module = report(results, "dominators", target, "--by", "module")
    check(f"{name}: by module", by_module["groups"][0]["group"] == "__main__", by_module["groups"][:3])
    suspects = report(results, "top", target)["suspects"]
    check(f"{name}: suspects", len(suspects) == 3 and all(
        s["path"]["root"]["name"] == "__main__" and s["path"]["reading"] in (
            ".audit_log", ".Pool.free", ".failures", ".Service.compute <cache>") for s in suspects), suspects)


def check_explain(name, sample, said):
    for which in ("special", "log"):
        truth = json.loads(sample.ask("referrers " + said[which]))
        doc = report(results, "explain", sample.pid, said[which])
        rows = doc["references"]
        referents = [r["address"] for r in rows if r["relation"] == "refers to"]
        check(f"{name}: referents of {which}", referents[:len(truth["referents"])] == truth["referents"],
              (referents[:5], truth["referents"][:5]))
        # the collector knows of no namespace's owner: these are told by theirs
        check(f"{name}: as many referrers of {which}", doc["object"]["referrers"] == len(truth["referrers"]),
              (doc["object"]["referrers"], truth["referrers"]))
        check(f"{name}: reference count of {which}", doc["object"]["refcount"] == truth["refcount"],
              (doc["object"]["refcount"], truth["refcount"]))
        check(f"{name}: {which} is referred to by name", any(
            r["via"] == "." + ("special" if which == "special" else "audit_log") and r["type"] == "module"
            for r in rows if r["relation"] == "referred to by"), rows[-3:])


def check_retained(name, target):
    """Bytes that no root reaches once an object is taken away, for some of all objects."""
    refs, size, roots = {}, {}, []
    for line in pyheap("objects", target, "--refs", "--roots", "-f", "jsonl").stdout.splitlines():
        row = json.loads(line)
        refs[row["address"]] = row["refs"] + row["owned"]
        size[row["address"]] = row["shallow_bytes"] + row["uncounted_bytes"]
        if row["excess"] or row["refcount"] is None or (row["type"] == "type" and not row["tracked"]):
            roots.append(row["address"])

    def reach(without):
        seen = {a for a in roots if a != without}
        todo = list(seen)
        while todo:
            for to in refs[todo.pop()]:
                if to not in seen and to != without and to in refs:
                    seen.add(to)
                    todo.append(to)
        return seen
    everything = reach(None)
    total = sum(size[a] for a in everything)
    random.seed(name)
    for address in random.sample(sorted(everything), SAMPLED):
        want = total - sum(size[a] for a in reach(address))
        r = json.loads(pyheap("why", target, address, "--json", "-n", "1").stdout)
        check(f"{name}: retained by removal", r["what"]["retained_bytes"] == want, (r["what"], want))


def check_growth(name, python):
    with Sample(python, LEAKS) as sample:
        moments, reports = [], []
        for k in range(3):
            moments.append(os.path.join(sample.dir.name, f"m{k}"))
            reports.append(os.path.join(sample.dir.name, f"r{k}"))
            sample.stands_still()
            pyheap("snapshot", sample.pid, "-o", moments[-1], "-q")
            pyheap("top", "--by", "path", sample.pid, "--json", "-o", reports[-1])
            sample.ask("step")
        doc = json.loads(pyheap("diff", *moments, "--json").stdout)
        rows = {t["type"]: t for t in doc["types"]}
        for kind in ("Request", "Session", "Service", "Entry"):
            row = rows["__main__." + kind]
            check(f"{name}: {kind} grew in each step", row["delta"]["count"] == 2 * STEP and row["grew_every_step"], row)
            check(f"{name}: those of the first step stayed", row["survivors"]["count"] == STEP, row)
        check(f"{name}: suspects of a diff", doc["suspects"] and doc["suspects"][0]["grew_every_step"], doc["suspects"])
        holders = json.loads(pyheap("diff", "--by", "path", *reports, "--json").stdout)["holders"]
        grown = {h["path"]: h for h in holders if h["delta"]["count"] > 0}
        for path in ("module __main__ .audit_log[…]", "module __main__ .by_name[…]", "module __main__ .Pool.free[…]"):
            check(f"{name}: {path} grew", path in grown and grown[path]["grew_every_step"], list(grown)[:9])
        both = [json.loads(pyheap("diff", "--by", "path", *pair, "--json").stdout)["totals"]
                for pair in (moments[:2], reports[:2])]
        check(f"{name}: snapshots as reports", both[0] == both[1], both)


for number, interpreter in enumerate(some_interpreters()):
    version = ".".join(map(str, version_of(interpreter)))
    with Sample(interpreter, LEAKS) as target:
        truth = json.loads(target.line.split(" ", 1)[1])
        check_why(version, target.pid)
        check_dominators(version, target.pid, truth)
        check_explain(version, target, truth)
        if number == 0:
            saved = os.path.join(target.dir.name, "snapshot")
            pyheap("snapshot", target.pid, "-o", saved, "-q")
            check_retained(version, saved)
    check_growth(version, interpreter)
raise SystemExit(results.finish())
