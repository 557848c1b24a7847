#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs with several interpreters: whose objects, threads, cycles and paths are whose, in all
commands, live, from cores and snapshots, and during a collection of one of them. That each
tracked object is its own interpreter's is told by tests/oracle."""
import json
import os
import re
import signal
import sys

from support import ROOT, Results, Sample, interpreters, pyheap, report, types_of, version_of

results = Results()
PROGRAM = os.path.join(ROOT, "tests/live/interpreters.py")
ONE = "import sys; print('ready', flush=True); sys.stdin.readline()"


def check(name, ok, detail=""):
    return results.check(name, ok, detail)      # the matrix has results of its own


class Interpreters(Sample):
    def __init__(self, python):
        super().__init__(python, PROGRAM)
        facts = json.loads(self.ready.split(None, 1)[1])
        self.ids, self.waiting = facts["ids"], facts["waiting"]
        self.stands_still()


def rows_of(target, *options):
    r = pyheap("objects", "-f", "jsonl", *options, target)
    return [json.loads(line) for line in r.stdout.splitlines()] if r.returncode == 0 else []


def check_totals(name, where, target, ids, waiting, doc):
    """What all have together is what there is, and each type's objects are somebody's."""
    rows = doc.get("interpreters", [])
    check(f"{name}: all interpreters", [r["id"] for r in rows] == [0, *ids, "shared"], rows)
    for key, total in (("objects", doc["totals"]["objects"]), ("tracked", doc["totals"]["tracked"]),
                       ("bytes", doc["totals"]["shallow_bytes"] + doc["totals"]["uncounted_bytes"])):
        check(f"{name}: {key} of all", sum(r[key] for r in rows) == total, (rows, total))
    check(f"{name}: threads", all(r["threads"] for r in rows if r["id"] in [0, *waiting]) and not rows[-1]["threads"], rows)
    count, garbage, references = {}, 0, 0
    for row in rows:
        one = report(results, "top", *where, "--no-retained", "--interpreter", row["id"], target)
        if not one:
            return
        check(f"{name}: top of {row['id']}", one["interpreter"] == row["id"] and
              one["totals"]["objects"] == row["objects"] and one["totals"]["tracked"] == row["tracked"], one["totals"])
        check(f"{name}: types of {row['id']}", sum(t["count"] for t in one["types"]) == row["objects"])
        garbage += one["totals"]["garbage_objects"]
        references += one["totals"]["references"]
        for t in one["types"]:
            count[t["type"]] = count.get(t["type"], 0) + t["count"]
        for n, i in enumerate(ids, 1):
            have = types_of(one).get(f"__main__.Marked{n}", {"count": 0})["count"]
            check(f"{name}: Marked{n} of {row['id']}", have == (100 + n if i == row["id"] else 0), have)
    check(f"{name}: types of all", count == {t["type"]: t["count"] for t in doc["types"]})
    check(f"{name}: garbage of all", garbage == doc["totals"]["garbage_objects"], garbage)
    check(f"{name}: references of all", references == doc["totals"]["references"], references)


def check_rows(name, where, target, ids):
    rows = rows_of(target, *where)
    address = {}
    for n, i in enumerate(ids, 1):
        marked = [o for o in rows if o["type"] == f"__main__.Marked{n}"]
        check(f"{name}: Marked{n} are of {i}", len(marked) == 100 + n and {o["interpreter"] for o in marked} == {i},
              marked[:2])
        address[i] = marked[0]["address"]
    every = rows_of(target, *where, "--interpreter", ids[2], "--type", "__main__.Marked3")
    check(f"{name}: objects --type", len(every) == 103, len(every))
    check(f"{name}: and none of another's", not rows_of(target, *where, "--interpreter", ids[3], "--type", "__main__.Marked3"))
    text = [line.split() for line in pyheap("objects", *where, "--interpreter", ids[2], "--type", "__main__.Marked3",
                                            "--no-header", target).stdout.splitlines()]
    check(f"{name}: a column", text[0][-2:] == ["INTERP", "TYPE"] and text[1][-2:] == [str(ids[2]), "__main__.Marked3"], text[:2])
    return address


def check_commands(name, where, target, ids, address):
    third, fourth = ids[2], ids[3]
    why = report(results, "why", *where, target, "__main__.Marked3")
    check(f"{name}: why a type", why and {p["interpreter"] for p in why["paths"]} == {third}, why and why["paths"])
    r = pyheap("why", *where, "--interpreter", fourth, target, "__main__.Marked3")
    check(f"{name}: why, another's type", r.returncode == 2 and "no object" in r.stderr, r.stderr)
    r = pyheap("why", *where, "--interpreter", fourth, target, address[third])
    check(f"{name}: why, another's object", r.returncode == 2 and f"interpreter {third}" in r.stderr, r.stderr)
    why = report(results, "why", *where, "--interpreter", third, target, address[third])
    check(f"{name}: why an object", why and why["what"]["interpreter"] == third and
          why["paths"][0]["reading"].startswith(".KEEP["), why and why["paths"][:1])
    explain = report(results, "explain", *where, target, address[third])
    check(f"{name}: explain", explain and explain["object"]["interpreter"] == third, explain and explain["object"])
    top = report(results, "dominators", *where, "--interpreter", third, target)
    check(f"{name}: dominators", top and top["dominators"] and {d["interpreter"] for d in top["dominators"]} == {third},
          top and top["dominators"][:2])
    for n, i in enumerate(ids, 1):
        cycles = report(results, "cycles", *where, "--interpreter", i, target)
        found = [c for c in cycles["cycles"] if c["state"] == "garbage"] if cycles else []
        own = [(c["count"], c["interpreter"]) for c in found if c["shape"] == ["__main__.Cycle"]]
        check(f"{name}: cycles of {i}", own == [(n, i)] and {c["interpreter"] for c in found} == {i} and
              cycles["states"]["garbage"]["count"] == sum(c["count"] for c in found), found)
    cycles = report(results, "cycles", *where, target)
    found = {c["interpreter"]: c["count"] for c in cycles["cycles"] if c["shape"] == ["__main__.Cycle"]} if cycles else {}
    check(f"{name}: cycles of all", found == {i: n for n, i in enumerate(ids, 1)}, found)
    by_path = report(results, "top", *where, "--by", "path", "--interpreter", third, target)
    check(f"{name}: top --by path", by_path and sum(h["count"] for h in by_path["holders"]) == by_path["totals"]["objects"],
          by_path and by_path["totals"])


def check_threads(name, where, target, waiting):
    every = report(results, "threads", *where, target)
    if not every:
        return
    for n, i in enumerate(waiting, 1):
        frames = [(t["interpreter"], f["function"]) for t in every["threads"] for f in t["frames"]
                  if f["function"] == f"wait_in_{n}"]
        check(f"{name}: the thread in {i}", frames == [(i, f"wait_in_{n}")], frames)
        one = report(results, "threads", *where, "--interpreter", i, target)
        check(f"{name}: threads --interpreter {i}", one and one["threads"] and
              one["threads"] == [t for t in every["threads"] if t["interpreter"] == i], one and one["threads"])


QUESTIONS = (["top"], ["top", "--interpreter", "ID"], ["top", "--by", "path", "--interpreter", "ID"],
             ["cycles", "--interpreter", "ID"], ["threads"], ["why", "TARGET", "__main__.Marked3", "--interpreter", "ID"],
             ["dominators", "--interpreter", "ID"], ["dominators", "--interpreter", "shared", "--by", "type"],
             ["objects", "--refs", "--interpreter", "ID"], ["objects", "--roots", "--interpreter", "shared"])


def ask(question, target, number, where):
    words = [str(number) if w == "ID" else str(target) if w == "TARGET" else w for w in question]
    r = pyheap(*words, *([] if "TARGET" in question else [target]), *where, "--json")
    if r.returncode:
        return r.stderr
    doc = json.loads(r.stdout)
    doc.pop("run")
    doc["totals"].pop("memory")
    return doc


def check_sources(name, where, sample):
    """A snapshot says the same."""
    saved = os.path.join(sample.dir.name, "saved")
    os.kill(sample.pid, signal.SIGSTOP)
    r = pyheap("snapshot", "-q", *where, "-o", saved, sample.pid)
    check(f"{name}: snapshot", r.returncode == 0, r.stderr)
    for question in QUESTIONS:
        live = ask(question, sample.pid, sample.ids[2], where)
        check(f"{name}: {question}", isinstance(live, dict), live)
        check(f"{name}: {question} of the snapshot", ask(question, saved, sample.ids[2], ()) == live)
    os.kill(sample.pid, signal.SIGCONT)
    return saved


def check_core(name, where, sample):
    os.kill(sample.pid, signal.SIGSTOP)
    live = [ask(question, sample.pid, sample.ids[2], where) for question in QUESTIONS]
    core = sample.kernel_core()
    for question, answer in zip(QUESTIONS, live):
        found = ask(question, core, sample.ids[2], where)
        check(f"{name}: {question} of a core", any_stack(found) == any_stack(answer), found)


def any_stack(doc):
    """Without which thread's: while it ends, the kernel leaves something else on stacks."""
    return json.loads(re.sub(r"C stack of thread \d+", "C stack", json.dumps(doc)))


def check_diff(name, where, sample, saved):
    """One interpreter grows, and another does not."""
    seventh, eighth = sample.ids[6], sample.ids[7]
    sample.ask("grow 7")
    for number, more in ((seventh, 1000), (eighth, 0)):
        doc = report(results, "diff", *where, "--interpreter", number, saved, sample.pid)
        grown = types_of(doc).get("__main__.Marked7", {"delta": {"count": 0}})["delta"]["count"] if doc else None
        check(f"{name}: diff of {number}", grown == more, grown)
    old = os.path.join(sample.dir.name, "old.json")
    pyheap("top", "--json", "--interpreter", seventh, "-o", old, saved)
    r = pyheap("diff", *where, old, sample.pid)
    check(f"{name}: a report of one is not compared with all", r.returncode == 2 and f"--interpreter {seventh}" in r.stderr,
          r.stderr)
    doc = report(results, "diff", *where, "--interpreter", seventh, old, sample.pid)
    check(f"{name}: but with the same", doc and types_of(doc)["__main__.Marked7"]["delta"]["count"] == 1000)


def check_collecting(name, where, sample, version):
    """What a collection in progress has taken off the lists is still its interpreter's."""
    numbers = (8, 7) if version >= (3, 9) else (8,)    # one collector for all
    for number in numbers:
        sample.ask(f"collect {number}")
    sample.stands_still()
    slow = rows_of(sample.pid, *where, "--type", "__main__.Slow")
    want = sorted(sample.ids[n - 1] for n in numbers)
    check(f"{name}: found while they are collected", sorted(o["interpreter"] for o in slow) == want, slow)
    doc = report(results, "top", *where, "--no-retained", sample.pid)
    check(f"{name}: it is said", doc and "collecting" in [n["kind"] for n in doc["notes"]], doc and doc["notes"])
    for n in (7, 8):
        rows = rows_of(sample.pid, *where, "--interpreter", sample.ids[n - 1], "--type", f"__main__.Marked{n}")
        check(f"{name}: Marked{n} meanwhile", len(rows) >= 100 + n, len(rows))


def check_one(name, python):
    """A program with one interpreter has no column, and no other."""
    with Sample([python, "-c", ONE], None) as sample:
        doc = report(results, "top", "--interpreter", 0, sample.pid)
        check(f"{name}: one interpreter", doc and "interpreters" not in doc and doc["interpreter"] == 0, doc and doc.get("interpreters"))
        rows = rows_of(sample.pid, "--interpreter", 0, "-n", 5)
        check(f"{name}: its objects", len(rows) == 5 and "interpreter" not in rows[0], rows[:1])
        for number in ("1", "shared", "x", "-1", "007", ""):
            r = pyheap("top", "--interpreter", number, sample.pid)
            check(f"{name}: --interpreter '{number}'", r.returncode == 2 and "interpreter" in r.stderr, r.stderr)


def check_program(name, python, version, *where):
    with Interpreters(python) as sample:
        os.kill(sample.pid, signal.SIGSTOP)
        doc = report(results, "top", *where, sample.pid)
        if not doc:
            return
        check_totals(name, where, sample.pid, sample.ids, sample.waiting, doc)
        address = check_rows(name, where, sample.pid, sample.ids)
        check_commands(name, where, sample.pid, sample.ids, address)
        check_threads(name, where, sample.pid, sample.waiting)
        r = pyheap("top", *where, "--interpreter", 4711, sample.pid)
        check(f"{name}: no such", r.returncode == 2 and "there are 0, " in r.stderr, r.stderr)
        os.kill(sample.pid, signal.SIGCONT)
        saved = check_sources(name, where, sample)
        check_diff(name, where, sample, saved)
        check_collecting(name, where, sample, version)
    with Interpreters(python) as sample:
        check_core(name, where, sample)


def main():
    every = list(interpreters())
    # what each version has is compared by test_oracle; here it is what pyheap makes of it
    first = 1 if os.environ.get("FEW_PYTHONS") else 2
    for python in every[:first] + every[-1:]:
        version = version_of(python)
        name = "%d.%d.%d" % version
        check_program(name, python, version)
        check_one(name, python)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
