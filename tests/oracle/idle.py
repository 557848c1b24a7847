# SPDX-License-Identifier: GPL-2.0-or-later
"""An idle program of some size: a dozen modules of the standard library, classes with
and without slots, instances, closures, generators, exceptions, a waiting thread."""
import argparse
import asyncio
import collections
import concurrent.futures
import contextlib
import ctypes
import dataclasses
import datetime
import decimal
import email.message
import enum
import functools
import http.client
import json
import logging
import os
import re
import sqlite3
import sys
import threading
import unittest
import weakref
import xml.etree.ElementTree


class Node:
    def __init__(self, parent=None):
        self.parent, self.children = parent, []
        self.name = "node %d" % id(self)


class Slotted:
    __slots__ = ("a", "b", "__weakref__")

    def __init__(self, a, b):
        self.a, self.b = a, b


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Error(Exception):
    pass


def make_error(depth):
    try:
        if depth:
            make_error(depth - 1)
        raise Error("depth", depth)
    except Error as e:
        return e


def counter(n):
    total = 0

    def add(k):
        nonlocal total
        total += k + n
        return total
    return add


def numbers(n):
    for i in range(n):
        yield i * 1000003


async def coroutine(x):
    await asyncio.sleep(x)


@functools.lru_cache(maxsize=100)
def cached(n):
    return str(n) * 3


class World:
    def __init__(self):
        self.nodes = [Node() for _ in range(500)]
        for child, parent in zip(self.nodes[1:], self.nodes):
            child.parent = parent
            parent.children.append(child)
        self.slotted = [Slotted(i, str(i)) for i in range(500)]
        self.points = {"p%d" % i: Point(i, i / 7) for i in range(500)}
        self.errors = [make_error(3) for _ in range(20)]
        self.closures = [counter(i * 10**6) for i in range(50)]
        self.generators = [numbers(i + 2) for i in range(50)]
        for g in self.generators[:25]:
            next(g)
        self.coroutines = [coroutine(i) for i in range(5)]
        self.weak = [weakref.ref(s) for s in self.slotted]
        self.cached = [cached(i) for i in range(150)]
        self.deque = collections.deque(range(10**6, 10**6 + 200))
        self.ordered = collections.OrderedDict((str(i) + "k", i) for i in range(100))
        self.default = collections.defaultdict(list, {i: [i] for i in range(1000, 1100)})
        self.sets = [{i, str(i)} for i in range(2000, 2100)]
        self.bound = [n.__init__ for n in self.nodes[:50]]
        self.methods = [self.deque.append, self.ordered.get, [].append]
        self.partials = [functools.partial(counter, i) for i in range(20)]
        self.views = [self.points.keys(), self.points.items(), iter(self.sets)]
        self.memory = memoryview(bytearray(1000))
        self.patterns = [re.compile("(a|b)%d+" % i) for i in range(10)]
        self.dates = [datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc) for _ in range(10)]
        self.decimals = [decimal.Decimal(i) / 7 for i in range(10)]
        self.logger = logging.getLogger("world")
        self.tree = xml.etree.ElementTree.fromstring("<a><b c='1'>text</b></a>")
        self.message = json.loads('{"a": [1, 2.5, null, {"b": "c"}]}')


def wait(event):
    held = ["of a waiting thread", 10**20]
    event.wait()
    return held


def main():
    world = World()
    event = threading.Event()
    thread = threading.Thread(target=wait, args=(event,), daemon=True)
    thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    os._exit(len(repr(world)) == 0)


main()
