# SPDX-License-Identifier: GPL-2.0-or-later
"""What threads have made: of every size, passed to others and freed by others; four made
theirs before gc.freeze() and four after it. Of each four two have ended and two stand still."""
import ctypes
import gc
import os
import sys
import threading
import time
import weakref

KEEP = []
THREADS = 4
FREE_THREADED = not getattr(sys, "_is_gil_enabled", bool)() and sys.version_info >= (3, 13)
HUGE = 17 << 17     # items in more than half of one of the allocator's segments
# not os.fork(): it deletes the states of other threads in the child, and what they hold
fork = ctypes.PyDLL(None).fork


class Managed:
    def __init__(self, n):
        self.n = n
        self.me = [self]


class Slots:
    __slots__ = ("x", "__weakref__")


class Many(tuple):
    pass


def make(n):
    """Objects of all kinds of memory: small and large blocks, and some that have pages of their own."""
    own = [Managed(i) for i in range(300)]
    own[0].__dict__["added"] = own
    own[1].__dict__ = {"another": [1]}
    for i in range(0, 300, 7):
        own[i] = [[i]] * i
    for i in range(300):
        slots = Slots()
        slots.x = (slots, {"key %d of %d" % (i, n): [i]})
        own.append(slots)
    own += [tuple([own] * size) for size in (10, 100, 1000, 10000, 20000)]
    own += [[(n, own)] * 30000, Many(own * 40), {i: own for i in range(5000)}]
    if n == 0 and FREE_THREADED:
        own += [(None,) * 100000, (None,) * HUGE]
    own.append(weakref.ref(own[2]))
    for i in range(20):
        Managed(i)                  # garbage
    return own


def work(n, made, barrier, stay):
    made[n] = make(n)
    barrier.wait()
    # every other object of its neighbour's, which that has made and this one frees
    other = made[(n + 1) % THREADS]
    for i in range(0, 250, 2):
        other[i] = None
    for i in range(400, 600, 2):
        other[i] = (n, [other[i]])
    del other
    barrier.wait()
    # what others have dropped is freed when its owner runs again
    for i in range(1000):
        "%d" % i
    barrier.wait()
    if n % 2:
        held = [Managed(n), "of a thread that stands still"]
        stay.wait()
        del held


def run():
    made, barrier, stay = [None] * THREADS, threading.Barrier(THREADS), threading.Event()
    threads = [threading.Thread(target=work, args=(n, made, barrier, stay), daemon=True) for n in range(THREADS)]
    before = len(os.listdir("/proc/self/task"))
    for t in threads:
        t.start()
    for t in threads[::2]:
        t.join()
    while len(os.listdir("/proc/self/task")) > before + THREADS // 2:
        time.sleep(0.01)
    KEEP.append((made, threads, stay))


run()
gc.collect()
gc.freeze()
run()
# memory that threads have left, used by another one and freed in part
for made, _, _ in KEEP:
    made[0][300:400] = [Managed(i) for i in range(50)]
time.sleep(0.1)                     # the last ones come to stand still
