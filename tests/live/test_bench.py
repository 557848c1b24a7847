#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/run.py in small: every figure that is to be had here is measured, what is not is said,
and a goal is judged by its rounds. How fast anything is is not asked."""
import json
import os
import subprocess
import sys
import tempfile

from support import ROOT, SYSTEM_PYTHON, Results

sys.path.insert(0, os.path.join(ROOT, "bench"))
sys.dont_write_bytecode = True
import goals  # noqa: E402

results = Results()
check = results.check
OURS = {"collect", "count", "pause", "cycles", "top", "rate", "rss", "growth", "core_count", "core_top", "core_bytes", "gcore",
        "gcore_count", "gcore_top", "cat", "naive"}


def run():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "bench.json")
        r = subprocess.run([SYSTEM_PYTHON, os.path.join(ROOT, "bench/run.py"), "-n", "20000", "--rounds", "1", "-o", out,
                            "mixed", "empty"], capture_output=True, text=True)
        if not check("bench/run.py runs", r.returncode == 0, r.stderr):
            return
        with open(out) as f:
            [got] = json.load(f)["results"]
    mixed, empty = got["kinds"]["mixed"], got["kinds"]["empty"]
    check("20,000 objects and those of an interpreter", 20000 < mixed["objects"] < 60000, mixed["objects"])
    check("every figure", OURS <= set(mixed["series"]), OURS - set(mixed["series"]))
    check("each of them once", all(len(v) == 1 and v[0] > 0 for v in mixed["series"].values()), mixed["series"])
    check("an idle interpreter", "top" in empty["series"], empty)
    check("what is not to be had is said", {"guppy", "ivanyu"} <= set(mixed["missing"]) and "Left out: guppy3" in r.stdout,
          r.stdout)
    check("goals of larger heaps are not judged", "asked from 10,000,000" in r.stdout, r.stdout)


def judge():
    for sign, values, verdict in (("≤", [1, 1, 1, 1, 9], "yes"), ("≤", [9, 9, 9, 9, 1], "no"), ("≤", [1, 1, 9, 9, 9], "unsure"),
                                  ("≥", [9, 9, 9, 9, 1], "yes"), ("≥", [1, 1, 1, 1, 9], "no"), ("≥", [9], "yes")):
        goal = goals.Goal("", ("mixed",), sign, 5, goals.just("top"))
        got = goals.judge(goal, {"mixed": {"top": values}}, 1)[1]
        check(f"{values} {sign} 5", got == verdict, got)
    ratio = goals.over("top", "collect")({"mixed": {"top": [2, 4], "collect": [1, 2]}}, "mixed")
    check("a ratio is one of each round", ratio == [2, 2], ratio)


judge()
run()
sys.exit(results.finish())
