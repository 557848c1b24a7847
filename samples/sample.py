# SPDX-License-Identifier: GPL-2.0-or-later
"""What the samples share: they say `ready`, then obey lines on standard input.

    grow N    leak N more
    truth     one line of JSON: what sys.getsizeof says of the objects it leaks
    collect   one line of JSON: what gc.collect() finds, by type
    stop      end
"""
import collections
import gc
import json
import os
import sys


def name_of(cls):
    module, name = cls.__module__, cls.__qualname__
    return name if module == "builtins" else module + "." + name


def collect():
    """Counts by type of what the collector frees, and of nothing else."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    found = collections.Counter(name_of(type(o)) for o in gc.garbage)
    gc.set_debug(0)
    return dict(found)


def serve(grow=None, leaked=None):
    """leaked() gives the objects the sample is about, each once."""
    print("ready", os.getpid(), flush=True)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "grow" and grow:
            grow(int(rest))
            print("ready", flush=True)
        elif word == "truth" and leaked:
            objects = list(leaked())
            count, size = collections.Counter(), collections.Counter()
            for o in objects:
                count[name_of(type(o))] += 1
                size[name_of(type(o))] += sys.getsizeof(o)
            print(json.dumps({t: [count[t], size[t]] for t in count}), flush=True)
        elif word == "collect":
            print(json.dumps(collect()), flush=True)
        elif word == "stop":
            break
