#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacks as sys._current_frames() shows them, to the line and the local; what locals
retain; tasks by where they wait. Live and from a core."""
import json
import os

from support import ROOT, Results, Sample, some_interpreters, report, version_of

results = Results()
check = results.check
STACKS = os.path.join(ROOT, "tests/live/stacks.py")


def check_stacks(name, doc, said):
    threads = {t["id"]: t for t in doc["threads"]}
    check(f"{name}: as many threads", len(threads) == len(said["frames"]) + 1, list(threads))
    for ident, stack in said["frames"].items():
        got = threads.get(ident, {"frames": []})
        check(f"{name}: name of a thread", got.get("name") == said["names"][ident], got.get("name"))
        if not check(f"{name}: as many frames", len(got["frames"]) == len(stack),
                     [f["function"] for f in got["frames"]]):
            continue
        for frame, (function, file, line, values) in zip(got["frames"], stack):
            place = f"{name}: {function}"
            check(f"{place}: function, file and line", [frame["function"], frame["file"], frame["line"]] ==
                  [function, file, line], (frame["function"], frame["line"], line))
            ours = {v["name"]: v["address"] for v in frame["locals"] if v["name"]}
            for local, address in values.items():
                check(f"{place}: local {local}", ours.get(local) == address, (ours, address))


def check_retained(name, doc):
    held = {v["name"]: (f, v) for t in doc["threads"] for f in t["frames"] for v in f["locals"]}
    frame, rows = held["rows"]
    check(f"{name}: a list retains its rows", rows["retained_bytes"] > 100 * 40, rows)
    check(f"{name}: a frame retains what its locals do", frame["retained_bytes"] >= rows["retained_bytes"])
    buffer = held["buffer"][1]
    check(f"{name}: a buffer", 200000 < buffer["retained_bytes"] < 200200, buffer)
    # the dict is in a cell that two frames share: neither retains it, the thread does
    thread = next(t for t in doc["threads"] if t["frames"] and t["frames"][0]["function"] == "innermost")
    check(f"{name}: a thread retains all that its frames hold", thread["retained_bytes"] > 2000 * 40 + 100 * 40, thread)


def check_tasks(name, doc):
    tasks = doc["tasks"]
    check(f"{name}: two places", [t["count"] for t in tasks] == [30, 3], tasks)
    waits = [w.split(" ")[0] for w in tasks[0]["waits_at"]]
    check(f"{name}: the coroutines", waits[:3] == ["trunk", "branch", "leaf"] and waits[-1].endswith("wait"), waits)
    check(f"{name}: and what they wait for", "Future" in (tasks[0]["waiting_for"] or ""), tasks[0])
    check(f"{name}: lines", all("(stacks.py:" in w for w in tasks[0]["waits_at"][:3]), tasks[0]["waits_at"])
    # the task that made them has ended
    lost = doc["coroutines"]["count"] - doc["coroutines"]["in_tasks"]
    check(f"{name}: coroutines in no task", lost == 7, doc["coroutines"])


for interpreter in some_interpreters():
    version = ".".join(map(str, version_of(interpreter)))
    with Sample(interpreter, STACKS) as sample:
        truth = json.loads(sample.line.split(" ", 1)[1])
        live = report(results, "threads", sample.pid, "--values")
        for kind in ("live", "gcore"):
            doc = live if kind == "live" else report(results, "threads", sample.gcore(), "--values")
            if doc:
                check_stacks(f"{version} {kind}", doc, truth)
                check_retained(f"{version} {kind}", doc)
                check_tasks(f"{version} {kind}", doc)
        plain = report(results, "threads", sample.pid)
        check(f"{version}: names are values", all(t["name"] is None for t in plain["threads"]))
raise SystemExit(results.finish())
