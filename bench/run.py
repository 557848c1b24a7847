#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""pyheap side by side with its yardsticks, in turn, on the same heaps.

    run.py [-n OBJECTS] [--rounds ROUNDS] [--python PYTHON] [-o JSON] [KIND ...]

pause   pyheap's pause against a bare copy of the same memory (bench/copy.c)
count   `top --no-retained`, attach to exit, against the target's own gc.collect()
top     `top` with retained sizes, likewise; cycles: `cycles`, likewise
naive   the loop over gc.get_objects() with sys.getsizeof, against gc.collect()
Medians of all rounds; ratios below 1 mean that pyheap is faster."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PYHEAP = os.environ.get("PYHEAP", os.path.join(HERE, "../build/pyheap"))
COPY = os.environ.get("COPY", os.path.join(HERE, "../build/bench/copy"))


def timed(*args):
    began = time.perf_counter()
    out = subprocess.run(args, capture_output=True, text=True, check=True).stdout
    return time.perf_counter() - began, out


def measure(python, kind, n, rounds):
    p = subprocess.Popen([python, os.path.join(HERE, "workload.py"), kind, str(n)], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, bufsize=1)
    p.stdout.readline()

    def ask(line):
        p.stdin.write(line + "\n")
        p.stdin.flush()
        return float(p.stdout.readline())

    got = {k: [] for k in ("collect", "naive", "copy", "pause", "count", "top", "cycles")}
    objects = 0
    for _ in range(rounds):
        got["collect"].append(ask("collect"))
        seconds, out = timed(PYHEAP, "top", "--no-retained", "--json", str(p.pid))
        doc = json.loads(out)
        objects = doc["totals"]["objects"]
        got["count"].append(seconds)
        got["pause"].append(doc["run"]["pause_ms"] / 1e3)
        got["copy"].append(float(timed(COPY, str(p.pid))[1].split()[1]) / 1e3)
        got["top"].append(timed(PYHEAP, "top", "--json", str(p.pid))[0])
        got["cycles"].append(timed(PYHEAP, "cycles", "--json", str(p.pid))[0])
        got["naive"].append(ask("naive"))
    p.kill()
    p.wait()
    m = {k: statistics.median(v) for k, v in got.items()}
    return {"workload": kind, "objects": objects, "seconds": m,
            "ratios": {"pause/copy": m["pause"] / m["copy"], "count/collect": m["count"] / m["collect"],
                       "top/collect": m["top"] / m["collect"], "cycles/collect": m["cycles"] / m["collect"],
                       "naive/collect": m["naive"] / m["collect"]}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("-o")
    parser.add_argument("kinds", nargs="*", default=["mixed", "graph", "deep", "orm"])
    args = parser.parse_args()
    results = [measure(args.python, kind, args.n, args.rounds) for kind in args.kinds]
    names = list(results[0]["ratios"])
    print(f"{'workload':10} {'objects':>10} {'collect':>10}", *(f"{n:>15}" for n in names))
    for r in results:
        print(f"{r['workload']:10} {r['objects']:10,} {1e3 * r['seconds']['collect']:7.1f} ms",
              *(f"{r['ratios'][n]:15.2f}" for n in names))
    if args.o:
        with open(args.o, "w") as f:
            json.dump(results, f, indent=2)


main()
