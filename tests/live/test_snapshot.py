#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot answers like the process that it was made of; it is small, and holds no values."""
import json
import os
import signal
import tempfile

from support import ROOT, Results, Sample, some_interpreters, pyheap, version_of

results = Results()
check = results.check
HOLDERS = os.path.join(ROOT, "tests/oracle/holders.py")
QUESTIONS = (
    ["top"], ["top", "--by", "path"], ["cycles"], ["cycles", "--all"], ["objects", "--refs", "--roots"],
    ["why", "WHAT:__main__.Marker"], ["why", "WHAT:str"], ["why", "WHAT:function", "--all"],
    ["why", "WHAT:dict[300]", "-n", "5"], ["why", "WHAT:__main__.Marker", "--avoid", ".config"],
    ["dominators"], ["dominators", "--by", "module"], ["dominators", "--all", "-n", "20"], ["threads"],
)
SECRETS = ("""
import sys
class Holder: pass
h = Holder()
h.attribute_name = 1
table = {"s3cret-%d" % i: "v4lue-%d" % i for i in range(int(sys.argv[1]))}
names = {"known_name": 1}
known = lambda: names["known_name"]
by_number = {123456789 + i: Holder() for i in range(10)}
print("ready", flush=True)
sys.stdin.readline()
""")


def answer(target, question):
    command, args = question[0], [a for a in question[1:] if not a.startswith("WHAT:")]
    what = [a[5:] for a in question[1:] if a.startswith("WHAT:")]
    r = pyheap(command, target, *what, *args, "--json", "-q")
    if r.returncode:
        return r.stderr
    doc = json.loads(r.stdout)
    del doc["run"]
    doc["totals"].pop("memory", None)
    return doc


def check_answers(name, sample):
    os.kill(sample.pid, signal.SIGSTOP)
    files = {}
    for kind, args in (("plain", []), ("packed", ["--compress"])):
        files[kind] = os.path.join(sample.dir.name, kind)
        r = pyheap("snapshot", sample.pid, "-o", files[kind], "-q", *args)
        check(f"{name}: snapshot {kind}", r.returncode == 0 and not r.stderr, r.stderr)
    again = os.path.join(sample.dir.name, "again")
    r = pyheap("snapshot", files["packed"], "-o", again, "-q")
    check(f"{name}: a snapshot of a snapshot", r.returncode == 0, r.stderr)
    files["again"] = again
    for question in QUESTIONS:
        live = answer(sample.pid, question)
        check(f"{name}: {question}", isinstance(live, dict), live)
        for kind, path in files.items():
            got = answer(path, question)
            check(f"{name}: {question} of the {kind} one", got == live,
                  [k for k in live if not isinstance(got, dict) or got.get(k) != live[k]])
    core = sample.kernel_core()
    for question in (["top"], ["objects", "--refs"], ["why", "WHAT:__main__.Marker"]):
        got, want = answer(core, question), answer(files["plain"], question)
        check(f"{name}: {question} of a core", got == want)


def check_size_and_values(python):
    name = ".".join(map(str, version_of(python)))
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(SECRETS)
        script.flush()
        sample = Sample(python, script.name, "100000")
    with sample:
        path = os.path.join(sample.dir.name, "snap")
        r = pyheap("snapshot", sample.pid, "-o", path, "--bytes")
        objects, refs, size, of_objects, of_refs, of_labels = (
            int(w.replace(",", "")) for w in r.stderr.replace("(", "").split(": ")[-1].split() if w[0].isdigit())
        print(f"{name}: {of_objects / objects:.2f} bytes an object, {of_refs / refs:.2f} a reference, "
              f"{of_labels / size:.2f} of the file for labels")
        check(f"{name}: at most 20 bytes an object", of_objects <= 20 * objects, (of_objects, objects))
        check(f"{name}: at most 5 bytes a reference", of_refs <= 5 * refs)
        check(f"{name}: and that is nearly all but for labels and names", size <= 26 * objects + 5 * refs + of_labels,
              (size, objects, refs, of_labels))
        with open(path, "rb") as f:
            content = f.read()
        check(f"{name}: no key, no value", b"s3cret" not in content and b"v4lue" not in content and
              b"123456789" not in content)
        check(f"{name}: names", b"attribute_name" in content and b"known_name" in content and b"by_number" in content)
        check(f"{name}: no name of a thread", b"MainThread" not in content)
        pyheap("snapshot", sample.pid, "-o", path, "--values", "--force", "-q")
        with open(path, "rb") as f:
            content = f.read()
        check(f"{name}: --values keeps keys, and nothing else", b"s3cret-77" in content and b"v4lue" not in content)
        with open(path, "rb") as f:
            r = pyheap("top", "-", "--json", stdin=f)
        check(f"{name}: on standard input", r.returncode == 0 and json.loads(r.stdout)["command"] == "top", r.stderr)


for interpreter in some_interpreters():
    with Sample(interpreter, HOLDERS) as target:
        check_answers(".".join(map(str, version_of(interpreter))), target)
for interpreter in list(some_interpreters())[:1]:
    check_size_and_values(interpreter)
raise SystemExit(results.finish())
