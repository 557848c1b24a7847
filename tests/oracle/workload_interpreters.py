# SPDX-License-Identifier: GPL-2.0-or-later
"""Nine interpreters in one process: the main one, and eight more that share its GIL, or from 3.12
on five that do and three with one of their own. Each has objects, garbage, classes and interned
strings of its own, and objects of modules written in C; two have frozen some."""
import ctypes
import sys

try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters as _interpreters

CODE = """
import gc
gc.disable()
import collections, functools, sys, weakref

class Node:
    def __init__(self, n):
        self.me = self
        self.data = {"k%%d" %% i: [i] for i in range(n)}

class Slots:
    __slots__ = ("x", "interpreter_%(i)d", "__weakref__")

class Marked%(i)d:
    # 100 + %(i)d of them
    text = "only interpreter %(i)d has this text"

class Leaf(dict):
    only_of_interpreter_%(i)d = "a constant of interpreter %(i)d"

def function(a, b=[1], *, keyword_of_%(i)d=None):
    def inner():
        return a, keyword_of_%(i)d
    return inner

def generator():
    here = [1]
    yield here

KEEP = [Node(5) for _ in range(50)]
KEEP += [Marked%(i)d() for _ in range(100 + %(i)d)]
gc.collect()
if %(freeze)d:
    gc.freeze()
for n in range(30):
    KEEP.append(Node(n))
    KEEP.append(Leaf(attribute=[n], other="text %%d of %(i)d" %% n))
    KEEP.append({sys.intern("interned %%d of %(i)d" %% n): n, n: "v"})
    KEEP.append(function(n))
    KEEP.append(Slots())
    KEEP[-1].x = (n, [n], 1 << 70)
    KEEP.append(type("Made%%d" %% n, (Node,), {"number": n}))
gc.collect(1)
KEEP += [weakref.ref(KEEP[-2]), collections.OrderedDict(a=[1]), collections.deque([1, [2]]),
         functools.partial(len, [1]), {1, (2, "x")}, frozenset("ab"), range(5), slice(1, [2]), b"bytes",
         bytearray(b"y"), 1.5, 2j, iter([1]), {}.keys(), memoryview(b"x"), ValueError("v"), object(), type(sys)("made"), generator()]
next(KEEP[-1])
for name, code in [("array", "array('i', [1, 2])"), ("_struct", "Struct('i')"), ("_random", "Random()"),
                   ("_csv", "reader([])"), ("_json", "make_encoder"), ("_operator", "itemgetter(1)"),
                   ("_thread", "allocate_lock()"), ("_queue", "SimpleQueue()"), ("_bisect", "bisect_left"),
                   ("itertools", "groupby([1, [2]])"), ("_io", "StringIO('x')"), ("_elementtree", "Element('x')"),
                   ("_sqlite3", "connect(':memory:')"), ("select", "poll()"), ("_decimal", "Decimal(1)"),
                   ("_zoneinfo", "ZoneInfo"), ("zlib", "compressobj()"), ("_hashlib", "new('md5')")]:
    try:
        KEEP.append(eval(code, vars(__import__(name))))
    except Exception:       # not there, or not for more than one interpreter
        pass
try:
    {}["no"]
except KeyError as e:
    KEEP.append(e)
# dicts of static types, which each interpreter may have for itself
int.__subclasses__(), dict.__dict__.keys()
del n, name, code
for _ in range(10 + %(i)d):
    Node(2)                         # garbage
"""


def create(own_gil):
    if sys.version_info >= (3, 13):
        return _interpreters.create("isolated" if own_gil else "legacy")
    if sys.version_info >= (3, 10):
        return _interpreters.create(isolated=own_gil)
    return _interpreters.create()


def run_in(i, code):
    failed = _interpreters.run_string(i, code)
    if failed:
        raise RuntimeError(failed)


KINDS = [False] * 5 + [sys.version_info >= (3, 12)] * 3
INTERPRETERS = []
for own_gil in KINDS:
    INTERPRETERS.append(create(own_gil))
for n, i in enumerate(INTERPRETERS):
    run_in(i, CODE % {"i": n, "freeze": n in (2, 6)})
del own_gil, n, i

# not os.fork(): it deletes the others in the child
fork = ctypes.PyDLL(None).fork
KEEP = [[i] for i in range(100)]
