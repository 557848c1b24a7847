#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What pyheap costs, side by side with yardsticks: on the same heaps, in turn, in rounds.

KIND is one of mixed, graph, deep, orm (bench/workload.py), empty (an interpreter that waits)
and small (mixed with 100,000 objects); all of them by default. Figures are medians of all
rounds; where a round was a quarter above another one, the least and the greatest stand
beside them. docs/performance.md says what each figure means."""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

from goals import GOALS, judge
from target import Missing
from yardsticks import HEAPS, PYHEAP, ROWS, SMALL, Subject

LARGE_SPREAD = 1.25
UNITS = {"ms": (1e3, "{:.1f}", " ms"), "s": (1, "{:.2f}", " s"), "B": (1, "{:.0f}", " B"), "/s": (1e-6, "{:.2f}", " M/s"), "": (1, "{:.2f}", "")}


def measure(options, python, kind):
    """Every round's figures by row, and why there are none in others."""
    rows = [r for r in ROWS if kind in r.kinds]
    series, missing = {}, {}
    with Subject(options, python, kind, options.n) as subject:
        objects, rss = subject.run.objects, subject.target.rss()
        for i in range(options.rounds):
            print(f"{python}: {kind}, round {i + 1} of {options.rounds}", file=sys.stderr, flush=True)
            for row in rows:
                if row.key in missing or (row.once and i):
                    continue
                try:
                    series.setdefault(row.key, []).append(row.get(subject))
                except Missing as e:
                    missing[row.key] = str(e)
                    series.pop(row.key)
    return {"objects": objects, "rss_bytes": rss, "series": series, "missing": missing}


def figure(values, unit):
    if not values:
        return "–"
    if unit == "s" and statistics.median(values) < 1:
        unit = "ms"
    factor, form, name = UNITS[unit]
    text = form.format(factor * statistics.median(values)) + name
    if max(values) > LARGE_SPREAD * min(values):
        text += f" ({form.format(factor * min(values))}–{form.format(factor * max(values))})"
    return text


def print_table(head, lines):
    """Aligned, and Markdown: the first column is words, the others are figures."""
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    print()
    for line in (head, [":" + "-" * (widths[0] - 1), *("-" * (w - 1) + ":" for w in widths[1:])], *lines):
        print("| " + " | ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]) + " |")


def print_figures(got, kinds):
    kinds = [k for k in kinds if k in got]
    rows = [r for r in ROWS if any(got[k]["series"].get(r.key) for k in kinds)]
    if kinds:
        print_table(["", *kinds], [
            ["objects", *(f"{got[k]['objects']:,}" for k in kinds)],
            ["the target's RSS", *(f"{got[k]['rss_bytes'] / 2**20:.0f} MiB" for k in kinds)],
            *([r.title, *(figure(got[k]["series"].get(r.key), r.unit) for k in kinds)] for r in rows)])


def print_missing(got):
    """A reason is said once, with the rows it is true of."""
    reasons = {}
    for row in ROWS:
        for kind in got.values():
            if row.key in kind["missing"]:
                reasons.setdefault(kind["missing"][row.key], []).append(row.title)
    for i, (reason, titles) in enumerate(reasons.items()):
        print("\n" * (i == 0) + f"Left out: {', '.join(dict.fromkeys(titles))}: {reason}")


def goal_rows(got, n):
    series = {kind: g["series"] for kind, g in got.items()}
    for goal in GOALS:
        if not set(goal.kinds) & set(got):
            continue
        values, verdict = judge(goal, series, n)
        measured = ", ".join(f"{k} {figure(v, goal.unit)}" for k, v in values.items())
        yield [goal.what, f"{goal.sign} {figure([goal.limit], goal.unit)}", measured or "–", verdict]


def report(python, options):
    """Measures with one Python, and prints; ret is for the JSON."""
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    got = {kind: measure(options, python, kind) for kind in options.kinds}
    goals = list(goal_rows(got, options.n))
    print(f"\n{version} ({python}), n = {options.n:,}, rounds: {options.rounds}")
    print_figures(got, HEAPS)
    print_figures(got, SMALL)
    print_missing(got)
    print_table(["goal", "", "measured", "kept"], goals)
    return {"python": python, "version": version, "n": options.n, "kinds": got,
            "goals": [dict(zip(("what", "goal", "measured", "kept"), row)) for row in goals]}


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    tool = subprocess.run([PYHEAP, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    return f"{tool}; {os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10 ** 6, metavar="OBJECTS", help="of mixed, graph, deep and orm (10^6)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", action="append", help="of the targets; several are measured one after the other")
    parser.add_argument("--guppy", type=os.path.abspath, default=os.environ.get("GUPPY") or None, metavar="FOLDER",
                        help="measure guppy3, too: the folder it was installed to (pip install --target; $GUPPY)")
    parser.add_argument("--ivanyu", type=os.path.abspath, default=os.environ.get("IVANYU") or None, metavar="CHECKOUT",
                        help="measure that project, too, run by the Python of this program ($IVANYU)")
    parser.add_argument("-o", metavar="JSON", help="write the figures of all rounds")
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=[*HEAPS, *SMALL])
    options = parser.parse_args()
    wrong = set(options.kinds) - {*HEAPS, *SMALL}
    if wrong or options.n < 10 or options.rounds < 1:
        parser.error(f"no such kind: {', '.join(wrong)}" if wrong else "too few objects or rounds")
    load = os.getloadavg()[0]
    print(machine())
    if load > 0.5:
        print(f"It was at work before (load {load:.1f})")
    pythons = [shutil.which(python) or parser.error(f"there is no {python}") for python in options.python or [sys.executable]]
    try:
        results = [report(os.path.abspath(python), options) for python in pythons]
    except RuntimeError as e:
        sys.exit(f"run.py: {e}")
    if options.o:
        with open(options.o, "w") as f:
            json.dump({"machine": machine(), "load": load, "results": results}, f, indent=1)


main()
