# SPDX-License-Identifier: GPL-2.0-or-later
"""A target with threads, tasks and locals of known size. It says "ready" and what
sys._current_frames() shows of its other threads, then stands still."""
import asyncio
import json
import sys
import threading
import time

started = threading.Barrier(4)
hold = threading.Lock()
hold.acquire()


class Row:
    def __init__(self, n):
        self.n = n


def innermost(rows, label):
    total = len(rows)
    started.wait()
    hold.acquire()
    return total, label


def middle(n):
    cache = {i: Row(i) for i in range(n)}

    def nested(x):
        alias = cache
        return innermost([Row(i) for i in range(100)], x) or alias
    return nested("a label")


class Worker:
    def run(self):
        buffer = bytearray(200000)
        started.wait()
        time.sleep(100000)
        return buffer


def in_a_comprehension():
    return [(started.wait(), hold.acquire(), x) for x in range(1)]


async def leaf(event, payload):
    await event.wait()
    return payload


async def branch(event):
    mine = [Row(i) for i in range(10)]
    await leaf(event, mine)


async def trunk(event):
    await branch(event)


async def other(event):
    await event.wait()


async def tasks(event):
    made = [asyncio.ensure_future(trunk(event)) for _ in range(30)]
    made += [asyncio.ensure_future(other(event)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return made


def frames():
    """Of each other thread: function, file, line, and what its locals are."""
    ret = {}
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        stack = []
        while frame:
            code = frame.f_code
            stack.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno,
                          {k: hex(id(v)) for k, v in frame.f_locals.items()
                           if k not in code.co_cellvars and k not in code.co_freevars}])
            frame = frame.f_back
        ret[hex(ident)] = stack
    return ret


for target in (lambda: middle(2000), Worker().run, in_a_comprehension):
    threading.Thread(target=target, daemon=True).start()
started.wait()
time.sleep(0.5)  # until all of them wait
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)  # up to 3.9 an event takes it from here
never = asyncio.Event()
made_tasks = loop.run_until_complete(tasks(never))
lost = [leaf(never, None) for _ in range(7)]
print("ready " + json.dumps({"frames": frames(), "names": {hex(t.ident): t.name for t in threading.enumerate()}}),
      flush=True)
sys.stdin.readline()
