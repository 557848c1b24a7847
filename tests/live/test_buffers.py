#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Large buffers that are not copied: the objects are those of a core, which has all memory;
what is guessed wrong is copied the second time. Arguments: names of heaps, else all."""
import concurrent.futures
import filecmp
import json
import os
import re
import sys
import tempfile

from support import Results, Sample, SYSTEM_PYTHON, pyheap

results = Results()
check = results.check

PREAMBLE = """
import array, collections, ctypes, mmap, os, random, sys
MIB = 1 << 20
def noise(n):
    return os.urandom(n * MIB)
def at(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
def hidden(buffer, n):
    "A place in the middle of a buffer, in a page that no probe looks at."
    place = (at(buffer) + n * MIB) // MIB * MIB + MIB // 2 + 0x4000
    return place, place - at(buffer)
def words(buffer, offset, *values):
    for i, value in enumerate(values):
        ctypes.c_uint64.from_buffer(buffer, offset + 8 * i).value = value
"""
END = """
print("ready", flush=True)
sys.stdin.read()
"""
BESIDE = "\nbeside = bytearray(noise(40))"
BESIDE_SIZE = "39.9 MiB"  # without its ends
# malloc would move its threshold to the size of what is freed, and smaller blocks to the heap
ENV = {"MALLOC_MMAP_THRESHOLD_": "131072"}
# What becomes of the buffers, and how they are made. "copied": even beside one that is not.
HEAPS = {
    "bytearray": ("skipped", "keep = bytearray(noise(256))"),
    "array": ("skipped", "keep = array.array('q', range(-1000, 1000)) * 25000"),
    "ordinals": ("skipped", "keep = array.array('q', range(-5000000, 0))"),
    "doubles": ("skipped", "keep = array.array('d', map(float, range(1000))) * 5000"),
    "bytes": ("skipped", "keep = [noise(20) for _ in range(6)]"),
    "str": ("skipped", "keep = ['aé%d' % i * (30 * MIB) for i in range(3)]"),
    "wide str": ("skipped", "keep = '\\U0001f600ab' * (12 * MIB)"),
    "int": ("skipped", "keep = int.from_bytes(noise(48), 'little')"),
    "many": ("skipped", "keep = [(bytearray(noise(5)), list(range(1000)), noise(1)) for _ in range(20)]"),
    "beside lists": ("skipped", "keep = [f(i) for i in range(8) for f in "
                     "(lambda i: noise(9), lambda i: [object()] * (MIB // 2), lambda i: bytearray(noise(9)))]"),
    "views": ("skipped", "data = bytearray(noise(64))\n"
              "keep = [memoryview(data)[i * 9001:] for i in range(2000)]\n"
              "keep += [(ctypes.c_char * 4096).from_buffer(data, i * 9008) for i in range(2000)]"),
    "shrunk": ("skipped", "keep = [bytearray(noise(64)) for _ in range(3)]\nfor b in keep: del b[len(b) // 3:]"),
    "threads": ("skipped", "import threading\n"
                "keep = []\n"
                "def run():\n"
                "    keep.append((bytearray(noise(40)), [str(i) for i in range(50000)], noise(20)))\n"
                "    event.wait()\n"
                "event = threading.Event()\n"
                "for _ in range(3): threading.Thread(target=run, daemon=True).start()\n"
                "import time\n"
                "while len(keep) < 3: time.sleep(0.01)"),
    "zeroes": ("copied", "keep = bytearray(64 * MIB)"),
    "small": ("copied", "keep = [bytearray(noise(3)) for _ in range(12)]"),
    "one object": ("copied", "keep = [object()] * (2 * MIB)"),
    "many objects": ("copied", "keep = [object() for _ in range(MIB // 2)]"),
    "ints": ("copied", "keep = list(range(MIB // 2))"),
    "short texts": ("copied", "keep = ['%0400d' % i for i in range(100000)]"),
    "texts": ("copied", "keep = ['%02000d' % i for i in range(20000)] + ['%020000d' % i for i in range(2000)]"),
    "dict": ("copied", "keep = {i: str(i) for i in range(200000)}"),
    "emptied dict": ("copied", "keep = dict.fromkeys(range(MIB))\nfor i in range(MIB - 9): del keep[i]"),
    "set": ("copied", "keep = set(range(MIB // 3))"),
    "emptied set": ("copied", "keep = set(range(MIB // 2))\nfor i in range(MIB // 2 - 9): keep.remove(i)"),
    "over-allocated": ("copied", "keep = [None] * MIB\nfor i in range(MIB // 2): keep.append(i)\n"
                       "del keep[MIB + 9:]"),
    "mmap": ("copied", "keep = mmap.mmap(-1, 64 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
             "keep[:] = noise(64)"),
    # an object, with a count and a type, in the middle of a buffer; a list refers to it
    "hidden object": ("again", "keep = bytearray(noise(64))\n"
                      "place, offset = hidden(keep, 20)\n"
                      "words(keep, offset, 1000, id(object))\n"
                      "found = [ctypes.cast(place, ctypes.py_object).value]"),
    # the same where only the words of an object lead to it that no reader knows
    "found object": ("again", "keep = bytearray(noise(64))\n"
                     "place, offset = hidden(keep, 20)\n"
                     "words(keep, offset, 1000, id(object))\n"
                     "found = memoryview((ctypes.c_char * 16).from_address(place))"),
    "hidden list": ("again", "keep = bytearray(noise(64))\n"
                    "place, offset = hidden(keep, 20)\n"
                    "found = [object() for _ in range(100)]\n"
                    "words(keep, offset, *map(id, found))\n"
                    "ctypes.c_uint64.from_address(id(found) + 24).value = place"),
    # what Element's tp_traverse, run on the copy, reads
    "hidden children": ("again", "import xml.etree.ElementTree as ET\n"
                        "keep = bytearray(noise(64))\n"
                        "place, offset = hidden(keep, 20)\n"
                        "found = ET.Element('a')\n"
                        "for i in range(9): ET.SubElement(found, 'b')\n"
                        "words(keep, offset, *map(id, found))\n"
                        "extra = ctypes.c_uint64.from_address(id(found) + 40).value\n"
                        "ctypes.c_uint64.from_address(extra + 24).value = place"),
}
NUMPY = {
    "numpy": ("skipped", "keep = numpy.random.rand(1 << 23)"),
    "numpy views": ("skipped", "data = numpy.random.rand(1 << 23)\n"
                    "keep = [data[i * 1001:] for i in range(5000)] + [data[::7], data.reshape(-1, 64).T]"),
    "numpy ints": ("skipped", "keep = [numpy.random.randint(0, 1 << 40, MIB) for _ in range(10)]"),
    "numpy objects": ("copied", "keep = numpy.array([str(i) for i in range(MIB // 2)], dtype=object)"),
    "numpy nothing": ("copied", "keep = numpy.empty(10 ** 6, dtype=object)"),
    "numpy records": ("copied", "keep = numpy.zeros(2 * 10 ** 5, dtype=[('n', 'f8', 7), ('o', object)])\n"
                      "keep['n'] = 1.5\nkeep['o'] = [str(i) for i in range(2 * 10 ** 5)]"),
    "numpy both": ("skipped", "keep = [numpy.random.rand(MIB), numpy.array([str(i) for i in range(MIB // 2)], dtype=object)] * 2\n"
                   "keep += [numpy.random.rand(MIB) for _ in range(8)]"),
}


def fate(said):
    if "once more with all" in said:
        return "again"
    return "skipped" if "without references were not copied" in said else "copied"


def compare(name, expected, code):
    with tempfile.TemporaryDirectory() as folder:
        script, live = os.path.join(folder, "heap.py"), os.path.join(folder, "live")
        with open(script, "w") as f:
            f.write(PREAMBLE + code + (BESIDE if expected == "copied" else "") + END)
        with Sample(SYSTEM_PYTHON, script, env=ENV) as target:
            target.stands_still()
            r = pyheap("objects", "--refs", "-v", "-f", "jsonl", "-o", live, target.pid)
            check(f"{name}: pyheap objects", r.returncode == 0, r.stderr)
            ok = BESIDE_SIZE in r.stderr if expected == "copied" else fate(r.stderr) == expected
            check(f"{name}: {expected}", ok, r.stderr)
            roots = [pyheap("objects", "--roots", "-f", "jsonl", target.pid).stdout]
            core = target.gcore()
            r = pyheap("objects", "--refs", "-f", "jsonl", "-o", live + "-core", core)
            check(f"{name}: pyheap objects of the core", r.returncode == 0, r.stderr)
            check(f"{name}: as in the core", filecmp.cmp(live, live + "-core", shallow=False))
            roots.append(pyheap("objects", "--roots", "-f", "jsonl", core).stdout)
            # gcore's own thread IDs and registers are the same
            check(f"{name}: holders as in the core", roots[0] == roots[1],
                  [x for x in zip(roots[0].splitlines(), roots[1].splitlines()) if x[0] != x[1]][:3])
            os.unlink(core)


def test_pause():
    """The sum of both, and nothing is left out where there is no copy or no pause."""
    code = PREAMBLE + HEAPS["hidden object"][1] + END
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "heap.py")
        with open(script, "w") as f:
            f.write(code)
        with Sample(SYSTEM_PYTHON, script) as target:
            target.stands_still()
            doc = json.loads(pyheap("top", "--json", target.pid).stdout)
            check("the pause of both", doc["run"]["pause_ms"] > 0, doc["run"])
            for options in (["--low-memory"], ["--pause", "none"]):
                r = pyheap("top", "-v", *options, target.pid)
                check(f"{options}: nothing is left out", r.returncode == 0 and fate(r.stderr) == "copied", r.stderr)
            r = pyheap("doctor", target.pid)
            copied = re.search(r"(\d+) KiB", r.stdout)
            check("doctor copies all", r.returncode == 0 and copied and int(copied.group(1)) > 64 << 10, r.stdout)


def main():
    heaps = dict(HEAPS)
    if pyheap_numpy():
        heaps.update({name: (expected, "import numpy\n" + code) for name, (expected, code) in NUMPY.items()})
    else:
        print("skipped: numpy's buffers: no numpy")
    few = os.environ.get("FEW_PYTHONS")  # what these heaps differ in has been tried without sanitizers
    names = sys.argv[1:] or [*[*heaps][::5 if few else 1], "pause"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(compare, name, *heaps[name]) for name in names if name != "pause"]:
            done.result()
    if "pause" in names:
        test_pause()
    return results.finish()


def pyheap_numpy():
    return os.system(f"{SYSTEM_PYTHON} -c 'import numpy' 2>/dev/null") == 0


sys.exit(main())
