#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reference cycles through attributes whose names say nothing, with gc disabled.

Every node's .b leads to its child, every child's .a back to its parent. With the
argument `weak` the way back is a weak reference, and no garbage is left.

expect: __main__.Node 10000
expect: __main__.Leaf 10000
"""
import gc
import sys
import weakref

import sample

WEAK = "weak" in sys.argv[1:]


class Node:
    def __init__(self):
        self.b = Leaf(self)


class Leaf:
    def __init__(self, parent):
        self.a = weakref.ref(parent) if WEAK else parent
        self.payload = [0] * 10


def grow(n):
    for _ in range(n):
        Node()


gc.disable()
grow(10000)
if __name__ == "__main__":
    sample.serve(grow)
