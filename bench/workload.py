# SPDX-License-Identifier: GPL-2.0-or-later
"""Heaps of N objects, strings and numbers included: workload.py KIND N.

Says `ready`, then obeys lines and answers with seconds: `collect` is one more gc.collect(),
`naive` the loop over gc.get_objects() with sys.getsizeof that people write instead,
`objgraph` and `guppy` what these make of it (nan: they are not here), `core` leaves a core
in the working folder, `awake PATH` runs Python code for as long as PATH exists (those who
inject code wait for that). The last four leave the heap as it is."""
import collections
import gc
import os
import resource
import sys
import time

# what an instance has a dict for before it is asked for it
DICTS = 1 if sys.version_info < (3, 11) else 0


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
    __slots__ = ("next", "value")


def mixed(n):
    """Instances, slots, lists, dicts, tuples, sets, str, int, float, small cycles."""
    keep, made = [], 0
    while made < n:
        i = len(keep) + 1000
        node, slots = Node(i), Slots()
        slots.a, slots.b = i * 1.5, (i + 5000000, node)
        node.children.append({"key %d" % i: [i + 9000000], "slots": slots})
        made += 12 + DICTS
        if i % 10 == 0:
            other = Node(-i)
            other.next, node.next = node, other
            made += 4 + DICTS
        if i % 7 == 0:
            node.children.append({i + 20000000, "set %d" % i})
            made += 3
        keep.append(node)
    return keep


def graph(n):
    """N/2 nodes, each with its list of 3 references to random ones."""
    import random  # the other heaps need not hold it
    vertices = [Vertex() for _ in range(n // 2)]
    share = random.Random(1).random
    for v in vertices:
        v.out = [vertices[int(share() * len(vertices))] for _ in "123"]
    return vertices


def deep(n):
    """A linked list of N/2 nodes, each with a number of its own."""
    head = None
    for i in range(n // 2):
        link = Link()
        link.next, link.value = head, i + 1000
        head = link
    return head


def orm(n):
    """N/9 rows, dicts of 8 columns: the collector tracks next to nothing of them (before 3.14)."""
    columns = ["column_%d" % i for i in range(8)]
    return [{c: "value %d %s" % (i, c) for c in columns} for i in range(n // 9)]


def collect():
    gc.collect()


def naive():
    sizes = collections.Counter()
    for o in gc.get_objects():
        sizes[type(o)] += sys.getsizeof(o)


def apart(work):
    """What work() gives, in a fork: what it imports and leaves behind is not in our heap. Our
    pages are shared with it for that time; written to once, they are our own again."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, str(work()).encode())
        os._exit(0)
    os.close(write)
    with open(read) as f:
        answer = f.read()
    os.waitpid(pid, 0)
    gc.collect()
    return float(answer or "nan")


def second_time(module, work):
    """Seconds; the first time pays for the fork's copies of pages."""
    try:
        module = __import__(module)
    except ImportError:
        return "nan"
    for _ in range(2):
        began = time.perf_counter()
        work(module)
        seconds = time.perf_counter() - began
    return seconds


def objgraph():
    return apart(lambda: second_time("objgraph", lambda m: m.most_common_types()))


def guppy():
    return apart(lambda: second_time("guppy", lambda m: str(m.hpy().heap())))


def abort():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    os.abort()


def core():
    apart(abort)


def awake(path):
    while os.path.exists(path):
        min((1, 2), key=lambda v: -v)
        time.sleep(0.001)


def main():
    gc.disable()
    keep = {f.__name__: f for f in (mixed, graph, deep, orm)}[sys.argv[1]](int(sys.argv[2]))
    gc.enable()
    gc.collect()
    print("ready", flush=True)
    answers = {f.__name__: f for f in (collect, naive, objgraph, guppy, core, awake)}
    for line in sys.stdin:
        name, *args = line.split()
        began = time.perf_counter()
        seconds = answers[name](*args)
        print(time.perf_counter() - began if seconds is None else seconds, flush=True)
    del keep


main()
