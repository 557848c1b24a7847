# SPDX-License-Identifier: GPL-2.0-or-later
"""Heaps of N objects, strings and numbers included: workload.py KIND N.

Says `ready`, then obeys lines: `collect` times a second gc.collect(), `naive` the
loop over gc.get_objects() with sys.getsizeof that people write instead."""
import collections
import gc
import random
import sys
import time


class Node:
    def __init__(self, number):
        self.number = number
        self.name = "node %d" % number
        self.next = None
        self.children = []


class Slots:
    __slots__ = ("a", "b")


class Vertex:
    __slots__ = ("out",)


class Link:
    __slots__ = ("next",)


def mixed(n):
    """Instances, slots, lists, dicts, tuples, sets, str, int, small cycles."""
    keep, made = [], 0
    while made < n:
        i = len(keep) + 1000
        node, slots = Node(i), Slots()
        slots.a, slots.b = i * 1.5, (i + 5000000, node)
        node.children.append({"key %d" % i: [i + 9000000], "slots": slots})
        made += 13
        if i % 10 == 0:
            other = Node(-i)
            other.next, node.next = node, other
            made += 4
        if i % 7 == 0:
            node.children.append({i + 20000000, "set %d" % i})
            made += 3
        keep.append(node)
    return keep


def graph(n):
    """A node and its list of 3 references to random nodes."""
    vertices = [Vertex() for _ in range(n // 2)]
    rng = random.Random(1)
    for v in vertices:
        v.out = [vertices[rng.randrange(len(vertices))] for _ in range(3)]
    return vertices


def deep(n):
    """One linked list; beside each link a number."""
    head = None
    for i in range(n // 2):
        link = Link()
        link.next = (head, i + 1000)
        head = link
    return head


def orm(n):
    """Rows of 8 columns: the collector tracks next to nothing of it."""
    columns = ["column_%d" % i for i in range(8)]
    return [[{c: "value %d %s" % (i, c) for c in columns}] for i in range(n // 10)]


def main():
    gc.disable()
    keep = {"mixed": mixed, "graph": graph, "deep": deep, "orm": orm}[sys.argv[1]](int(sys.argv[2]))
    gc.enable()
    gc.collect()
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        if line.strip() == "collect":
            gc.collect()
        elif line.strip() == "naive":
            sizes = collections.Counter()
            for o in gc.get_objects():
                sizes[type(o)] += sys.getsizeof(o)
        print(time.perf_counter() - began, flush=True)
    del keep


main()
