#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Users that many things hold: a cache, sessions, a cache of results, a closure, a
generator, an exception's traceback, a thread. `pyheap why PID __main__.User` tells them apart.

expect: __main__.User 1525
expect: __main__.Session 501
"""
import functools
import threading

import sample


class User:
    def __init__(self, number):
        self.number = number
        self.tags = [str(number)]


class Session:
    registry = {}

    def __init__(self, user):
        self.user = user


cache = {"users": [User(n) for n in range(1000)]}
sessions = {("s", n): Session(User(n)) for n in range(500)}
Session.registry["main"] = User(-1)
spare = Session(None)


@functools.lru_cache(maxsize=None)
def load(user):
    return [user]


for _ in range(20):
    load(User(_))


def make():
    hidden = User(99)

    def inner():
        return hidden
    return inner


callback = make()


def stream():
    held = User(77)
    yield held
    yield None


stream_at_work = stream()
next(stream_at_work)
errors = []


def fail():
    big = [User(5)]
    raise ValueError(len(big))


try:
    fail()
except ValueError as error:
    errors.append(error)


def worker(lock):
    own = User(123)
    lock.acquire()
    return own


waits = threading.Lock()
waits.acquire()
threading.Thread(target=worker, args=(waits,), daemon=True).start()
if __name__ == "__main__":
    sample.serve()
