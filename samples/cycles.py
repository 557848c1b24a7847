#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reference cycles through attributes whose names say nothing, with gc disabled.

Every node's .b leads to its child, every child's .a back to its parent. With the
argument `weak-a` or `weak-b` that attribute is a weak reference, and no garbage is
left. `collected` frees what importing modules left behind, first.

expect: __main__.Node 10000
expect: __main__.Leaf 10000
"""
import gc
import sys
import weakref

import sample

WEAK_A, WEAK_B = "weak-a" in sys.argv, "weak-b" in sys.argv


class Node:
    def __init__(self):
        leaf = Leaf(self)
        self.b = weakref.ref(leaf) if WEAK_B else leaf


class Leaf:
    def __init__(self, parent):
        self.a = weakref.ref(parent) if WEAK_A else parent
        self.payload = [0] * 10


def grow(n):
    for _ in range(n):
        Node()


gc.disable()
if "collected" in sys.argv:
    gc.collect()
grow(10000)
if __name__ == "__main__":
    sample.serve(grow)
