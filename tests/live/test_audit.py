#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reference counts of an idle program add up: what is counted and not held by another
object is held by somebody with a name, for 99.9 % of all mortal objects, and nothing
is referred to more often than counted."""
import json
import os
import sys
import tempfile

from support import ORACLE, Results, SCHEMA, Sample, interpreters, pyheap, version_of

import jsonschema

sys.path.insert(0, ORACLE)
import audit  # noqa: E402

SHARE = 0.999
ROWS = 2000  # validated of each interpreter
ROW = jsonschema.Draft7Validator({"$ref": "#/definitions/object_row", "definitions": SCHEMA["definitions"]})
results = Results()


def check_known_holders(name, version, rows):
    """The program has them."""
    held_by = {h for o in rows for h in o["held_by"]}
    expected = ["sys.modules", "builtins"]
    if version >= (3, 11):  # before, frames are objects and hold their variables
        expected += [h for h in held_by if h.startswith("local held in wait (idle.py:")] or ["local held in wait"]
    for holder in expected:
        results.check(f"{name}: something is held by {holder}", holder in held_by, sorted(held_by)[:40])


def check_rows(name, rows):
    wrong = [e.message for o in rows[:ROWS] for e in ROW.iter_errors(o)]
    results.check(f"{name}: rows are valid", not wrong, wrong[:1])
    wrong = [o for o in rows if o["excess"] is None and (o["held_by"] or o["refcount"] is not None)
             or o["excess"] is not None and (o["excess"] > 0) != bool(o["held_by"])]
    results.check(f"{name}: an excess has holders, and nothing else has", not wrong, wrong[:1])
    wrong = [o for o in rows if o["held_by"] and len(o["held_by"]) > o["excess"]]
    results.check(f"{name}: no more holders than excess", not wrong, wrong[:1])


def check_python(python, path):
    version = version_of(python)
    name = "%d.%d.%d" % version
    with Sample(python, os.path.join(ORACLE, "idle.py")) as sample:
        r = pyheap("objects", "--roots", "-f", "jsonl", "--force", "-o", path, sample.pid)
    if not results.check(f"{name}: pyheap objects --roots", r.returncode == 0, r.stderr):
        return
    with open(path) as f:
        rows = [json.loads(line) for line in f]
    total = audit.Audit()
    for o in rows:
        total.add(o)
    print(f"{name}: {total.line()}", flush=True)
    results.check(f"{name}: {100 * SHARE} % are explained", total.share() >= SHARE, total.summary())
    results.check(f"{name}: none has more references than counted", not total.negative, total.summary())
    check_rows(name, rows)
    check_known_holders(name, version, rows)


def main():
    with tempfile.TemporaryDirectory() as folder:
        for python in interpreters():
            check_python(python, os.path.join(folder, "objects"))
    return results.finish()


sys.exit(main())
