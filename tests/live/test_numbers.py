#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Millions of numbers: top gives pages of its copy back that are full of those which no
label shows. What it says must be what it says of a snapshot, which has all labels."""
import json
import os
import re
import subprocess
import tempfile

from support import PYHEAP, Results, Sample, pyheap, report, some_interpreters, version_of

results = Results()
check = results.check
CODE = """
import ctypes, sys
ITEMS = 24  # list.ob_item
class Slots:
    __slots__ = ("n",)
class Keys(dict):
    pass
def numbers(n, start):
    return [[start + i * 1000 + k for k in range(1000)] for i in range(n // 1000)]
first = numbers(1_000_000, 10**6)
floats = [[i / 3 + k for k in range(1000)] for i in range(1000)]
slots = []
for i in range(300_000):
    s = Slots(); s.n = 10**7 + i; slots.append(s)
# what is found by way of numbers that stand between others
table, own = {}, Keys()
table[first[123][567]] = numbers(2_500_000, 10**8)
own[first[999][998]] = numbers(3_000_000, 10**10)
# the items of a list of three are as long as a number and stand between them; those of one
# that lie across the end of a page lead to the heaviest
rows, between = [], []
for i in range(5000):
    rows.append([None, None, None])
    between.append([10**9 + i * 140 + k for k in range(140)])
cut = [i for i, r in enumerate(rows) if ctypes.c_size_t.from_address(id(r) + ITEMS).value % 4096 == 4080]
at = cut[len(cut) // 2]
rows[at][2] = Slots()
rows[at][2].n = numbers(2_200_000, 10**11)
rows = tuple(rows)
print("ready", first[123][567], first[999][998], f".rows[{at}][2].n", flush=True)
sys.stdin.read()
"""
# more where the numbers stay
PEAK = 1.7


def peak_of(*command):
    """Of memory, in kB."""
    with subprocess.Popen([PYHEAP, *command], stdout=subprocess.DEVNULL) as proc:
        return os.wait4(proc.pid, 0)[2].ru_maxrss


def check_python(python, script):
    name = "%d.%d.%d" % version_of(python)
    sample = Sample(python, script)
    try:
        sample.stands_still()
        pid = str(sample.pid)
        snap = os.path.join(sample.dir.name, "snap")
        live = report(results, "top", "--values", pid)
        check(f"{name}: a snapshot", pyheap("snapshot", "--values", "-o", snap, pid).returncode == 0)
        kept = report(results, "top", "--values", snap)
        for doc in (live, kept):
            doc.pop("run")
        check(f"{name}: the same as from a snapshot", live == kept, [k for k in live if live[k] != kept.get(k)])
        text = json.dumps(live["suspects"])
        for key in sample.ready.split()[1:]:
            check(f"{name}: a path shows {key}", key in text, text)
        with open(f"/proc/{pid}/status") as f:
            rss = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
        peak = peak_of("top", pid)
        print(f"{name}: peak {peak / rss:.2f} x the process", flush=True)
        check(f"{name}: peak", peak < PEAK * rss or "asan" in PYHEAP, (peak, rss))
    finally:
        sample.kill()


def main():
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "target.py")
        with open(script, "w") as f:
            f.write(CODE)
        pythons = list(some_interpreters())
        for python in {pythons[0]: 0, pythons[-1]: 0}:
            check_python(python, script)
    return results.finish()


if __name__ == "__main__":
    raise SystemExit(main())
