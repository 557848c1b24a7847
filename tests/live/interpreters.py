# SPDX-License-Identifier: GPL-2.0-or-later
"""Nine interpreters: the main one and eight more, which share its GIL, or from 3.12 on five that
do and three with one of their own. Number n of the eight has 100 + n objects of a class Marked
that only it has, n cycles of garbage, and one thread that waits in a function that says which
it is. `collect N` has a collection of number N stop half-way, `grow N` gives it 1,000 more.

Its ready line has facts: {"ids": [those of the eight], "waiting": [those in which a thread waits]}.
None does on 3.8, where a thread of another interpreter may never give the GIL back."""
import json
import os
import sys
import threading
import time

try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters as _interpreters

CODE = """
import gc, os, time
gc.disable()

class Marked%(n)d:
    def __init__(self):
        self.text = "text %%d of %(n)d" %% id(self)

class Cycle:
    def __init__(self):
        self.me = self

class Slow:
    def __init__(self):
        self.me = self
        self.others = [[i] for i in range(500)]

    def __del__(self):
        os.write(%(out)d, b"!")
        time.sleep(600)

KEEP = [Marked%(n)d() for _ in range(%(count)d)]
for _ in range(%(n)d):
    Cycle()
"""
WAIT = """
def wait_in_%(n)d(data):
    os.write(%(out)d, b"!")
    time.sleep(600)
wait_in_%(n)d([[n] for n in range(2000)])
"""
COLLECT = """
Slow()
gc.collect()
"""
GROW = """
KEEP += [Marked%(n)d() for _ in range(1000)]
"""


def create(own_gil):
    if sys.version_info >= (3, 13):
        return _interpreters.create("isolated" if own_gil else "legacy")
    if sys.version_info >= (3, 10):
        return _interpreters.create(isolated=own_gil)
    return _interpreters.create()


def run(number, code):
    failed = _interpreters.run_string(ALL[number - 1], code % {"n": number, "count": 100 + number, "out": END[1]})
    if failed:
        print(failed, file=sys.stderr)


def start(number, code):
    """On a thread of its own, until it says that it is there."""
    threading.Thread(target=run, args=(number, code), daemon=True).start()
    os.read(END[0], 1)


END = os.pipe()
OWN = [False] * 5 + [sys.version_info >= (3, 12)] * 3
ALL = [create(own) for own in OWN]
for NUMBER in range(1, 9):
    run(NUMBER, CODE)
# one main program runs in an interpreter at a time: the last two wait to be told
THREADS = sys.version_info >= (3, 9)
WAITING = range(1, 7) if THREADS else range(0)
for NUMBER in WAITING:
    start(NUMBER, WAIT)
print("ready", json.dumps({"ids": [int(i) for i in ALL], "waiting": [int(ALL[i - 1]) for i in WAITING]}), flush=True)
for line in sys.stdin:
    what, number = line.split()
    if what == "collect" and THREADS:
        start(int(number), COLLECT)
    elif what == "collect":
        print("done", flush=True)
        run(int(number), COLLECT)
    else:
        run(int(number), GROW)
    print("done", flush=True)
os._exit(0)
