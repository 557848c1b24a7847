#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Adds up what `pyheap objects --roots -f jsonl` says of reference counts.

    audit.py [-n N] OBJECTS

Of all mortal objects: how many have no excess, how many one that named holders
explain, and what is left by type, with an example; then who explains how much.
The last line is one of JSON for programs.
"""
import argparse
import collections
import json
import re
import sys


class Audit:
    def __init__(self):
        self.mortal = self.zero = self.explained = 0
        self.left, self.negative = collections.Counter(), collections.Counter()
        self.holders, self.example = collections.Counter(), {}

    def add(self, o):
        if o["excess"] is None or "immortal" in o["held_by"]:
            return
        self.mortal += 1
        if o["excess"] == 0:
            self.zero += 1
        elif o["excess"] < 0:
            self.negative[o["type"]] += 1
        elif "C" in o["held_by"]:
            self.left[o["type"]] += 1
        else:
            self.explained += 1
        for name in set(o["held_by"]):
            self.holders[re.sub(r"^(local|stack|contents|state|C stack)\b.*", r"\1 …", name)] += 1
        if o["excess"] < 0 or "C" in o["held_by"]:
            self.example.setdefault(o["type"], []).append(
                "%s count %s excess %s %s" % (o["address"], o["refcount"], o["excess"], "; ".join(o["held_by"])))

    def share(self):
        return (self.zero + self.explained) / self.mortal if self.mortal else 0

    def show(self, limit, examples):
        for title, counter in (("left", self.left), ("negative", self.negative)):
            for kind, n in counter.most_common(limit):
                print(f"{n:7} {title:9} {kind:36} {self.example[kind][0]}")
                for more in self.example[kind][1:examples]:
                    print(" " * 55 + more)
        for name, n in self.holders.most_common(limit):
            print(f"{n:7} held by   {name}")
        print(self.line())

    def line(self):
        return "%d mortal objects, %d without excess, %d explained, %d left, %d negative: %.4f %%" % (
            self.mortal, self.zero, self.explained, sum(self.left.values()), sum(self.negative.values()),
            100 * self.share())

    def summary(self):
        return {"mortal": self.mortal, "zero": self.zero, "explained": self.explained, "left": dict(self.left),
                "negative": dict(self.negative), "share": self.share()}


def read(path):
    audit = Audit()
    with open(path) as f:
        for line in f:
            audit.add(json.loads(line))
    return audit


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=30, help="lines of each kind")
    parser.add_argument("-e", type=int, default=1, help="examples of each type")
    parser.add_argument("objects")
    args = parser.parse_args()
    audit = read(args.objects)
    audit.show(args.n, args.e)
    print(json.dumps(audit.summary()))


if __name__ == "__main__":
    sys.exit(main())
