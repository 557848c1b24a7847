# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything was made by threads that have all ended; half of it was freed by the one that is left."""
import gc
import os
import sys
import threading
import time

KEEP = []


class Node:
    def __init__(self, n):
        self.me = self
        self.data = {"k%d" % i: [i] for i in range(n)}


def work():
    KEEP.append([Node(n % 9) for n in range(1000)] + [[None] * n for n in range(0, 3000, 30)])
    KEEP.append(tuple([(n, KEEP) for n in range(2000)]))


def work_huge():
    KEEP.append((None,) * (17 << 17))       # more than half of one of the allocator's segments


before = len(os.listdir("/proc/self/task"))
threads = [threading.Thread(target=work) for _ in range(4)]
if not getattr(sys, "_is_gil_enabled", bool)() and sys.version_info >= (3, 13):
    threads.append(threading.Thread(target=work_huge))
for t in threads:
    t.start()
for t in threads:
    t.join()
del t, threads
while len(os.listdir("/proc/self/task")) > before:
    time.sleep(0.01)
for made in KEEP:
    if type(made) is list:
        del made[::2]
del made
gc.collect()
