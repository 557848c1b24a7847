# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaks as people have them, one of each; says "ready", then grows by a step for each line
that it is sent, and answers questions about objects: "referrers 0x…"."""
import functools
import gc
import json
import sys
import threading

gc.disable()
STEP = 400


class Request:
    def __init__(self, n):
        self.n, self.body = n, "x" * 200 + str(n)


class Session:
    def __init__(self, n):
        self.handlers = [Handler(self), Handler(self)]
        self.n = n


class Handler:
    def __init__(self, session):
        self.session = session


class Service:
    def __init__(self, n):
        self.blob = bytearray(1000 + n)

    @functools.lru_cache(maxsize=None)
    def compute(self):
        return len(self.blob)


class Entry:
    pass


class Held:
    pass


audit_log, by_name, failures = [], {}, []


class Pool:
    free = []


def view(n):
    audit_log.append(Request(n))


def serve(n):
    Service(n).compute()
    by_name["user:%d" % n] = Entry()
    Pool.free.append(Session(n))


def fail(n):
    local = Held()
    raise ValueError(n, local and None)


def collect_errors(n):
    try:
        fail(n)
    except ValueError as error:
        failures.append(error)


def worker(ready, lock):
    jobs = [Request(n) for n in range(50)]
    ready.set()
    lock.acquire()
    return jobs


def step(k):
    for n in range(k * STEP, k * STEP + STEP):
        view(n)
        serve(n)
        collect_errors(n)


started, lock = threading.Event(), threading.Lock()
lock.acquire()
threading.Thread(target=worker, args=(started, lock), daemon=True).start()
started.wait()
step(0)
special = audit_log[7]
print("ready " + json.dumps({"special": hex(id(special)), "log": hex(id(audit_log))}), flush=True)
done = 0
for line in sys.stdin:
    words = line.split()
    if words[0] == "step":
        done += 1
        step(done)
        print("done", flush=True)
    elif words[0] == "referrers":
        found = [o for o in (special, audit_log, by_name, Pool.free, failures) if hex(id(o)) == words[1]][0]
        referrers = [hex(id(o)) for o in gc.get_referrers(found) if "frame" not in type(o).__name__]
        print(json.dumps({"referrers": referrers, "referents": [hex(id(o)) for o in gc.get_referents(found)],
                          # but for `found`, its tuple's iteration and the argument
                          "refcount": sys.getrefcount(found) - 2}), flush=True)
        del found, referrers
