#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what pyheap says of every object with what gc and sys say.

    compare.py [--strict] [--refcounts] [--limit N] OBJECTS TRUTH [TOP]

OBJECTS is what `pyheap objects --refs -f jsonl` printed, TRUTH what truth.py wrote,
TOP a report of `pyheap top --json` of the same moment. Prints differences by kind
and type with their number and an example; exit status 1 when there is one.
What pyheap itself marks as inexact is listed, and counts with --strict only;
reference counts of objects that the target and its twin share with C code
differ by a few, and count with --refcounts only.
"""
import argparse
import collections
import json
import sys

UNTRACKED_REFCOUNT = "refcount (untracked)"


class Differences:
    def __init__(self):
        self.count = collections.Counter()
        self.example = {}

    def add(self, kind, type_name, address, text):
        self.count[kind, type_name] += 1
        self.example.setdefault((kind, type_name), (address, text))

    def show(self, limit):
        for (kind, type_name), n in sorted(self.count.items(), key=lambda x: (x[0][0], -x[1], x[0][1]))[:limit]:
            print(f"{n:7} {kind:22} {type_name:36} {'%s %s' % self.example[kind, type_name]}")
        if len(self.count) > limit:
            print(f"        … and {len(self.count) - limit} more lines (--limit)")


class Truth:
    """What truth.py wrote, the parts of all interpreters together."""

    def __init__(self, path):
        self.objects, self.harness, self.owned, self.garbage = {}, set(), {}, collections.Counter()
        self.interpreters = {}          # ID: what is on its lists, what is reached from there
        types = {}
        interpreter = None
        with open(path) as f:
            self.head = json.loads(f.readline())
            for line in f:
                part = json.loads(line)
                if "address" in part:
                    self.add(part)
                    if interpreter:
                        interpreter[part["generation"] not in ("other", None)].add(part["address"])
                elif "interpreter" in part:
                    interpreter = self.interpreters[part["interpreter"]] = (set(), set())
                elif "owned" in part:
                    self.owned[part["owned"]] = part
                self.harness.update(part.get("harness", ()))
                types.update(part.get("types", {}))
                self.garbage.update(part.get("garbage", {}))
        for o in self.objects.values():
            o["type"] = types[o["type"]]
        for o in self.owned.values():
            o["any"] = [types.get(a, a) for a in o["any"]]
        self.garbage_types = collections.Counter()
        for address, n in self.garbage.items():
            self.garbage_types[types.get(address, address)] += n

    def add(self, o):
        """The interpreter whose lists have an object knows its generation."""
        known = self.objects.get(o["address"])
        if known is None or known["generation"] == "other":
            self.objects[o["address"]] = o


def read_ours(path):
    """The rows; a repeated address is an error of its own."""
    objects, repeated = {}, []
    with open(path) as f:
        for line in f:
            o = json.loads(line)
            if "address" not in o:
                continue
            if o["address"] in objects:
                repeated.append(o)
            objects[o["address"]] = o
    return objects, repeated


def names(addresses, ours, truth):
    """A few of them with their types, to show."""
    return [(truth.get(a) or ours.get(a) or {"type": "?"})["type"] + "@" + a for a in addresses[:3]]


def compare_refs(o, t, ours, truth, harness, differences):
    a, b = [r for r in o["refs"] if r not in harness], [r for r in t["refs"] if r not in harness]
    if a == b:
        return
    kind = "refs" if o["refs_exact"] else "refs (inexact)"
    more, less = collections.Counter(a), collections.Counter(b)
    if more == less:
        kind = "order of refs" if o["refs_exact"] else "order (inexact)"
    differences.add(kind, t["type"], t["address"], "pyheap %d, gc %d; missing %s; too many %s" % (
        len(a), len(b), names(list((less - more).elements()), ours, truth),
        names(list((more - less).elements()), ours, truth)))


def compare_refcount(o, t, differences):
    if o["refcount"] == t["refcount"]:
        return
    # up to 3.11 nothing is immortal, and both sides count what the harness has put on its stack
    differences.add("refcount" if t["tracked"] else UNTRACKED_REFCOUNT, t["type"], t["address"],
                    "pyheap %s, sys %s" % (o["refcount"], t["refcount"]))


def compare_owned(expected, ours, truth, differences):
    """What a workload knows that its objects hold unvisited; of some it only knows the type."""
    for address, e in expected.items():
        o = ours.get(address)
        for a in e["holds"]:
            if a not in ours:
                differences.add("missing (owned)" if o and o["refs_exact"] else "missing (inexact)", "", a,
                                "held by " + names([address], ours, truth)[0])
        if o is None or not o["refs_exact"]:
            continue
        more, less = collections.Counter(o["owned"]), collections.Counter(e["holds"])
        more, less = more - less, less - more
        kinds = collections.Counter(ours[a]["type"] for a in more.elements() if a in ours)
        if less or kinds != collections.Counter(e["any"]):
            differences.add("owned", o["type"], address, "missing %s and any %s; more %s" % (
                names(list(less.elements()), ours, truth), e["any"], names(list(more.elements()), ours, truth)))


def add_missing(missing, ours, truth, differences):
    """What only objects with inexact references lead to is their difference."""
    wanted, promised = set(missing), set()
    for address, t in truth.items():
        if address in ours and ours[address]["refs_exact"]:
            promised.update(wanted.intersection(t["refs"]))
    for address in missing:
        differences.add("missing" if address in promised else "missing (inexact)", truth[address]["type"], address,
                        "untracked")


def compare(ours, truth, harness):
    d = Differences()
    missing = []
    for address, t in truth.items():
        o = ours.get(address)
        if address in harness:
            continue
        if o is None:
            if t["tracked"]:
                d.add("missing", t["type"], address, "tracked, generation %s" % t["generation"])
            else:
                missing.append(address)
            continue
        if o["type"] != t["type"]:
            d.add("type", t["type"], address, "pyheap " + o["type"])
        if o["shallow_bytes"] != t["size"]:
            d.add("size" if o["size_exact"] else "size (inexact)", t["type"], address,
                  "pyheap %d, sys %d" % (o["shallow_bytes"], t["size"]))
        for key in ("tracked", "generation"):
            if o[key] != t[key]:
                d.add(key, t["type"], address, "pyheap %s, gc %s" % (o[key], t[key]))
        compare_refs(o, t, ours, truth, harness, d)
        compare_refcount(o, t, d)
    add_missing(missing, ours, truth, d)
    held = {a for o in ours.values() for a in o["owned"]}
    for address, o in ours.items():
        if address in truth or address in harness:
            continue
        if o["tracked"]:
            d.add("tracked for pyheap only", o["type"], address, "generation %s" % o["generation"])
        elif o["refs_exact"] and address not in held and not any(True for _ in o["refs"]):
            # reached over nothing that gc knows: by an inexact object, a root, or another such object
            d.add("beyond gc (held by roots)", o["type"], address, "")
    return d


def compare_interpreters(interpreters, ours, harness, differences):
    """What is on an interpreter's lists is its own; what is on none is no one's that does not lead there."""
    listed = {a: number for number, (_, own) in interpreters.items() for a in own}
    reached = {number: own | others for number, (others, own) in interpreters.items()}
    known = set().union(*reached.values())
    for o in ours.values():         # names in code, keys: what gc does not visit
        if o.get("interpreter") in reached:
            reached[o["interpreter"]].update(o["refs"], o["owned"])
    if not interpreters:            # one, or with one collector for all
        return
    for address, o in ours.items():
        if address in harness or "interpreter" not in o:
            continue
        number = o["interpreter"]
        if o["tracked"] and number != listed.get(address, number):
            differences.add("interpreter", o["type"], address, "pyheap %s, gc %s" % (number, listed[address]))
        elif o["tracked"] and number not in interpreters:
            differences.add("interpreter", o["type"], address, "pyheap %s" % number)
        elif not o["tracked"] and address in known and number in interpreters and address not in reached[number]:
            differences.add("interpreter", o["type"], address, "pyheap %s, which does not lead there" % number)
    if len({o.get("interpreter") for o in ours.values()}) != len(interpreters) + 1:
        differences.add("interpreter", "", "", "pyheap knows other interpreters than there are")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--strict", action="store_true")
    p.add_argument("--refcounts", action="store_true")
    p.add_argument("--limit", type=int, default=60)
    p.add_argument("objects")
    p.add_argument("truth")
    p.add_argument("top", nargs="?")
    args = p.parse_args()

    truth = Truth(args.truth)
    ours, repeated = read_ours(args.objects)
    d = compare(ours, truth.objects, truth.harness)
    compare_owned(truth.owned, ours, truth.objects, d)
    compare_interpreters(truth.interpreters, ours, truth.harness, d)
    garbage = sum(truth.garbage.values())
    for o in repeated:
        d.add("listed twice", o["type"], o["address"], "")
    if args.top:
        with open(args.top) as f:
            top = json.load(f)
        found = top["totals"]["garbage_tracked"]
        if found != garbage:
            d.add("garbage", "", "", "pyheap %d, gc %d: %s" % (found, garbage, dict(truth.garbage_types)))
        for note in top["notes"]:
            if note["kind"] == "negative-excess":
                d.count["more found than counted", ""] += note["count"]
                d.example["more found than counted", ""] = note["example"], ""
    d.show(args.limit)

    passing = {"beyond gc (held by roots)"}
    if not args.strict:
        passing |= {k for k, _ in d.count if "inexact" in k}
    if not args.refcounts:
        passing |= {"refcount", UNTRACKED_REFCOUNT}
    bad = sum(n for (kind, _), n in d.count.items() if kind not in passing)
    exact = sum(o["size_exact"] and o["refs_exact"] for o in ours.values())
    print("Python %s: %d objects of gc, %d of pyheap, coverage %.4f, %d garbage%s%s: %d differences" % (
        truth.head["version"], len(truth.objects), len(ours), exact / max(len(ours), 1), garbage,
        ", %d with owned" % len(truth.owned) if truth.owned else "",
        ", %d interpreters" % len(truth.interpreters) if truth.interpreters else "", bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
