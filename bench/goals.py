# SPDX-License-Identifier: GPL-2.0-or-later
"""What pyheap wants to keep to, a row each, and whether it does.

A goal is judged by the rounds, not by one number: it is kept when even the third
quartile keeps to it, missed when even the first one does not, and `unsure` between."""
import statistics
from typing import Callable, NamedTuple

LARGE, HUGE = 10 ** 6, 10 ** 7


def over(above, below):
    """A ratio, of the two figures of one round where both are of each round."""
    def values(series, kind):
        a, b = series[kind].get(above, []), series[kind].get(below, [])
        if a and b and len(a) != len(b):
            a, b = [statistics.median(a)], [statistics.median(b)]
        return [x / y for x, y in zip(a, b)]
    return values


def just(key):
    return lambda series, kind: series[kind].get(key, [])


def deep_against_orm(series, kind):
    other = series.get("orm", {}).get("top", [])
    return [x / y for x, y in zip(series[kind].get("stack", []), other)]


class Goal(NamedTuple):
    what: str
    kinds: tuple
    sign: str
    limit: float
    values: Callable
    unit: str = ""
    least: int = 0  # objects: of smaller heaps it is not said


ALL = ("mixed", "graph", "deep", "orm")
LINKED = ("graph", "deep")
GOALS = (
    Goal("pause / bare copy", ALL, "≤", 1.25, over("pause", "copy"), least=LARGE),
    Goal("pause / stop for gcore", ALL, "≤", 1 / 3, over("pause", "gcore"), least=LARGE),
    Goal("top --no-retained / gc.collect()", ("mixed",), "≤", 1, over("count", "collect"), least=LARGE),
    Goal("top --no-retained / gc.collect()", LINKED, "≤", 2, over("count", "collect"), least=LARGE),
    Goal("top / gc.collect()", ("mixed",), "≤", 1.5, over("top", "collect"), least=LARGE),
    Goal("top / gc.collect()", LINKED, "≤", 5, over("top", "collect"), least=LARGE),
    Goal("cycles / gc.collect()", ("mixed",), "≤", 1.5, over("cycles", "collect"), least=LARGE),
    Goal("cycles / gc.collect()", LINKED, "≤", 5, over("cycles", "collect"), least=LARGE),
    Goal("guppy3's heap() / top", ALL, "≥", 5, over("guppy", "top"), least=LARGE),
    Goal("ivanyu/pyheap / top", ALL, "≥", 100, over("ivanyu", "top"), least=LARGE),
    Goal("top --no-retained of a core / cat core", ("mixed", "orm"), "≤", 6, over("core_count", "cat"), least=LARGE),
    Goal("objects a second, top", ("mixed", "deep", "orm"), "≥", 5e6, just("rate"), "/s", HUGE),
    Goal("objects a second, top", ("graph",), "≥", 1.5e6, just("rate"), "/s", HUGE),
    Goal("peak RSS of top / target's", ALL, "≤", 1.6, just("rss"), least=HUGE),
    Goal("own memory an object, top of a core", ALL, "≤", 70, just("core_bytes"), "B", HUGE),
    Goal("top of deep with ulimit -s 256 / top of orm", ("deep",), "≤", 1.5, deep_against_orm, least=LARGE),
    Goal("top of 100,000 objects", ("small",), "≤", 0.030, just("top"), "s"),
    Goal("top of an empty interpreter", ("empty",), "≤", 0.020, just("top"), "s"),
    Goal("the same, layout from debug information", ("empty",), "≤", 0.300, just("cold"), "s"),
    Goal("time an object / with a tenth of them, top", ("mixed", "deep", "orm"), "≤", 1.3, just("growth"), least=HUGE),
    Goal("time an object / with a tenth of them, top", ("graph",), "≤", 2.5, just("growth"), least=HUGE),
)


def holds(goal, values):
    first, _, third = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    worst, best = (third, first) if goal.sign == "≤" else (-first, -third)
    limit = goal.limit if goal.sign == "≤" else -goal.limit
    return "yes" if worst <= limit else "no" if best > limit else "unsure"


def judge(goal, series, n):
    """(values by kind, verdict)."""
    values = {k: goal.values(series, k) for k in goal.kinds if k in series}
    values = {k: v for k, v in values.items() if v}
    if not values:
        return values, "not measured"
    if n < goal.least:
        return values, f"asked from {goal.least:,}"
    found = {k: holds(goal, v) for k, v in values.items()}
    if len(set(found.values())) == 1:
        return values, found.popitem()[1]
    return values, "; ".join(f"{verdict}: " + ", ".join(k for k in found if found[k] == verdict)
                             for verdict in ("no", "unsure") if verdict in found.values())
