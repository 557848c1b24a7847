# SPDX-License-Identifier: GPL-2.0-or-later
"""gc.freeze(), sub-classes made at run time, and garbage that only a frozen object could reach."""
import gc


class Node:
    def __init__(self):
        self.me = self
        self.data = {"k%d" % i: [i] for i in range(3)}


FROZEN = [Node() for _ in range(500)]
gc.collect()
gc.freeze()
LATER = [Node() for _ in range(500)]
gc.collect(1)
CLASSES = [type("Made%d" % i, (Node,), {"number": i, "__slots__": ("s",)}) for i in range(100)]
for i in range(300):
    Node()
del i
