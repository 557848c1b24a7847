#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A cache that nobody empties: a global dict with string keys.

The commonest leak there is, and one that the garbage collector cannot show: it
tracks neither strings nor, up to 3.13, the dicts that hold only strings.

expect: __main__.Session 20000
expect: str >= 40000
"""
import sample


class Session:
    def __init__(self, number):
        self.token = "token-%032d" % number
        self.hits = 0


CACHE = {}


def grow(n):
    for _ in range(n):
        number = len(CACHE)
        CACHE["user:%d:session" % number] = Session(number)


def leaked():
    for key, session in CACHE.items():
        yield key
        yield session
        yield session.token


grow(20000)
if __name__ == "__main__":
    sample.serve(grow, leaked)
