# SPDX-License-Identifier: GPL-2.0-or-later
"""At least one object of every type that pyheap reads natively, in each of its forms.

Executed by truth.py, with the collector off; keeps everything in KEEP.
"""
import array
import asyncio
import collections
import functools
import gc
import os
import sys
import time
import types
import weakref

KEEP = []
keep = KEEP.append


def fill(o, **attributes):
    for name, value in attributes.items():
        setattr(o, name, value)
    keep(o)
    return o


# ---- instances -----------------------------------------------------------------

class Plain:
    pass


class Init:
    def __init__(self):
        self.a = 1
        self.b = [2]
        self.c = "x"


class Slots:
    __slots__ = ("x", "y", "__weakref__")


class MoreSlots(Slots):
    __slots__ = ("z",)


class SlotsAndDict(Slots):
    pass


class DictSlot:
    __slots__ = ("__dict__", "q")


class Meta(type):
    def __init__(cls, *args):
        cls.extra = [1]


class OfMeta(metaclass=Meta):
    __slots__ = ("m",)


class OneSlot:
    __slots__ = ("a",)


class MultipleInheritance(OneSlot, Plain):
    pass


class PythonSizeof(list):
    def __sizeof__(self):
        raise RuntimeError("is never to be run")


class Finalized:
    def __del__(self):
        pass


for i in range(20):
    fill(Plain(), p=1, q=[i])
    keep(Init())
    fill(Slots(), x=i * 1000, y=[1])
    fill(MoreSlots(), x=1, z=(i, [1]))
    fill(SlotsAndDict(), x=1, foo=[i])
    fill(DictSlot(), q=[1], zed="a")
    fill(OfMeta(), m=[1])
    fill(MultipleInheritance(), a=[1], b=2)
keep(PythonSizeof(range(5)))
keep(Finalized())
keep(Slots())                       # nothing set
keep(Plain())
o = Init()
d = o.__dict__                      # values that a dict has taken over
keep((o, d))
o.late = [1]
o = Init()
o.__dict__["added"] = [1]
keep(o)
o = Init()
del o.a                             # a hole in the values
o.zz = 1
keep(o)
o = Init()
o.__dict__ = {"z": [1]}             # a dict of its own
keep(o)
o = Init()
o.__dict__[5] = [1]                 # keys that are no strings
keep(o)
o = Init()
o.__dict__.clear()
keep(o)
o = Plain()
for i in range(60):                 # more than shared keys take
    setattr(o, "attribute%d" % i, [i])
keep(o)
fill(Plain(), z=1, y=2)             # another order than that of the shared keys
o = Init()
d = o.__dict__
del o                               # the dict outlives its instance
keep(d)

# ---- subclasses of builtins ----------------------------------------------------

for base in (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, complex, collections.deque,
             collections.OrderedDict, collections.defaultdict, Exception, OSError, types.ModuleType, property,
             staticmethod, array.array, weakref.ref):
    sub = type("Sub" + base.__name__, (base,), {})
    arguments = {types.ModuleType: ("name",), staticmethod: (len,), array.array: ("d", [1.0, 2.0]),
                 weakref.ref: (Init,)}.get(base, ())
    fill(sub(*arguments), attribute=[1])
    keep(sub(*arguments))
    if base not in (tuple, bytes, int):
        with_slots = type("Slotted" + base.__name__, (base,), {"__slots__": ("s1", "s2")})
        fill(with_slots(*arguments), s1=[1])
for base, values in ((int, (1 << 100, 0, -5, 1 << 29)), (tuple, ((), (1, 2, [3]))), (bytes, (b"", b"hello")),
                     (str, ("", "h\u00e9llo", "\u0100", "ascii")), (list, ([1, 2],)), (dict, ({1: [2]}, {"a": [1]})),
                     (set, ({1, 2, 3, 4, 5, 6},)), (float, (1.5,)), (bytearray, (b"xyz",))):
    sub = type("Of" + base.__name__, (base,), {})
    for value in values:
        fill(sub(value), attribute=[5])

# ---- dicts -----------------------------------------------------------------------

for d in ({}, {"a": [1]}, {1: [2]}, {(1, 2): 3, "x": [1]}, {None: [1]}, {1.5: []}, dict.fromkeys("abc", [1]),
          {"k%d" % i: i for i in range(300)}, {i: i for i in range(300)}, {"k%d" % i: None for i in range(44000)}):
    keep(d)
d = {str(i): [i] for i in range(100)}
for i in range(0, 100, 3):
    del d[str(i)]
keep(d)
d = {i: [i] for i in range(50)}
for i in range(0, 50, 2):
    del d[i]
keep(d)
d = {"a": 1}
d[1] = 2
del d[1]                            # a general table in which only strings are left
keep(d)
d = {"k%d" % i: i for i in range(1000)}
d.clear()
keep(d)
d = {"k%d" % i: i for i in range(100)}
keep(d.copy())
keep(dict(d))
while len(d) > 2:
    d.popitem()
keep(d)
d = {"s": [1]}
d.get(5)                            # up to 3.10 this makes the table a general one
keep(d)
keep(collections.Counter("hello"))
keep(collections.ChainMap({1: [2]}))
keep(collections.UserDict(a=1))
keep(collections.defaultdict(list, {1: [2]}))
keep(collections.defaultdict(None, {"a": [2]}))
o = collections.OrderedDict((str(i), [i]) for i in range(50))
del o["3"]
keep(o)
keep(collections.OrderedDict())
keep(collections.OrderedDict({1: [1]}))
ordered = o
keep(fill(collections.OrderedDict(a=[1]), attribute=[2]))

# ---- sequences and sets ------------------------------------------------------------

for n in (0, 1, 63, 64, 65, 200):
    o = collections.deque(range(1000, 1000 + n))
    keep(o)
    o = collections.deque(range(2000, 2000 + n), maxlen=1000)
    o.rotate(3)
    for _ in range(min(n, 5)):
        o.popleft()
    keep(o)
for o in (set(), {"a", (1, 2)}, frozenset([1, (3, 4)]), {1, 2, 3}, frozenset(), {None}, {0, ""}):
    keep(o)
o = set(range(100))
for i in range(0, 100, 2):
    o.discard(i)
keep(o)
o = set(range(5))
o.clear()
keep(o)
o = [1, 2]
o.append(3)
keep(o)
for o in ([], list(range(1000)), [[]] * 5, (), (1,), (1, [2], "x"), tuple(range(50)), [None] * 3):
    keep(o)
o = list(range(100))
del o[50:]
keep(o)
o = []
o.append(o)
keep(o)

# ---- strings, numbers, bytes ---------------------------------------------------------

for s in ("", "a", "\u00e9", "abc" * 100, "h\u00e9", "\u0100abc", "\U0001F600x" * 10, "\x00nul", "\ud800 surrogate"):
    keep(s + "!")
    keep(s)
for name in ("Klass\u00e9", "\u0100hoj", "\U00010400"):
    name = name + "name of a class"
    keep(type(name, (), {}))        # caches the name's UTF-8 beside it
    keep(name)
keep(sys.intern("interned string of the workload"))
for i in (0, 1, -1, 5, 256, 257, -5, -6, -300, 1 << 29, 1 << 30, 1 << 31, 1 << 60, 1 << 200, -(1 << 500), 10**1000,
          1.5, 1 + 2j, True, None, Ellipsis, NotImplemented):
    keep(i)
for o in (b"", b"a", b"abc" * 50, bytearray(), bytearray(b"x" * 100)):
    keep(o)
o = bytearray(b"y" * 50)
o.pop()
o.extend(b"z" * 7)
keep(o)
o = bytearray(b"front is cut")
del o[:6]
keep(o)
for o in (range(5), range(1 << 70), iter(range(1 << 70)), slice(1, [2], 3), slice(None), iter(range(10)),
          range(1, 10**30, 7)):
    keep(o)

# ---- functions and what belongs to them -------------------------------------------------


def function(a, b=[1], *c, d=(2,), **e):
    "doc"
    local = a

    def inner():
        return local, inner
    return inner


function.attribute = [1]
keep(function(5))
keep(function.__code__)
keep(lambda: 0)


def annotated(a: int, *, k: "x" = 1) -> list:
    return a


keep(annotated)
keep(annotated.__annotations__)


class Methods:
    @property
    def getter(self):
        return 1

    @classmethod
    def of_class(cls):
        return 1

    @staticmethod
    def static():
        return 1

    documented = property(lambda s: 1, lambda s, v: 2, lambda s: 3, "doc")

    def method(self):
        return __class__


m = Methods()
for o in (m.of_class, m.method, Methods.static, [].append, "x".join, len, (1).__add__, object().__str__,
          Methods.__dict__, super(Methods, m), super(Methods), list.append, dict.__dict__["fromkeys"],
          type.__dict__["__mro__"], Methods.__dict__["getter"], Methods.__dict__["of_class"],
          Methods.__dict__["static"], int.__add__, type.__dict__["__dict__"], types.FunctionType.__dict__["__code__"],
          types.FunctionType.__dict__["__globals__"], types.MappingProxyType({1: [2]}), types.SimpleNamespace(a=[1]),
          types.ModuleType("made", "doc"), types.MethodType(len, [1]), Slots.__dict__["x"]):
    keep(o)
fill(types.ModuleType("filled"), x=[1])


def closure():
    a, b = [1], {}

    def f():
        return a, b
    b["f"] = f
    return f


def empty_cell():
    if 0:
        v = 1

    def g():
        return v
    return g


keep(closure())
keep(empty_cell())
keep(types.CellType([1]))
keep(types.CellType())

# ---- generators, coroutines, frames -------------------------------------------------------


def generator(n):
    loc = ["l", n]
    for i in range(n):
        try:
            yield loc
        except ValueError as ex:
            yield ex


def delegating():
    yield from generator(4)


class Awaitable:
    def __await__(self):
        yield 1


async def coroutine(x):
    y = [x]
    await Awaitable()
    return y


async def async_generator(x):
    z = [x]
    yield z
    await Awaitable()
    yield x


def started(g):
    next(g)
    keep(g)
    return g


keep(generator(3))
suspended = started(generator(3))
g = generator(2)
list(g)
keep(g)
g = started(generator(5))
g.throw(ValueError("thrown in"))
started(delegating())
g = started(generator(9))
g.close()
c = coroutine(1)
keep(c)
c = coroutine(2)
c.send(None)
keep(c)
keep(coroutine(9).__await__())
a = async_generator(1)
keep(a)
keep(a.asend(None))
keep(a.athrow(ValueError))
a = async_generator(2)
step = a.asend(None)
try:
    step.send(None)
except StopIteration:
    pass
keep(a)
keep(step)
step = a.__anext__()
step.send(None)
keep(step)
keep(x for x in [1, [2]])


def running():
    """A generator that is running when the target stands still cannot be: one that
    holds a frame of its own while it ran can."""
    me = sys._getframe()
    yield me
    yield me


started(running())


def make_frame():
    loc = [1, 2]
    return loc and sys._getframe()


def deep(n):
    here = [n]
    if n:
        return deep(n - 1)
    return here and sys._getframe()


keep(make_frame())
keep(sys._getframe())
keep(suspended.gi_frame)
keep(deep(30))
f = make_frame()
f.f_locals
keep(f)
f = make_frame()
f.f_trace = len
keep(f)

# ---- exceptions ---------------------------------------------------------------------------


def chained():
    try:
        try:
            1 / 0
        except Exception as first:
            raise KeyError("k") from first
    except Exception as second:
        return second


def in_context():
    try:
        try:
            {}["no"]
        except KeyError:
            int("x")
    except ValueError as second:
        return second


for e in (chained(), in_context()):
    keep(e)
    keep(e.__traceback__)
    keep(e.__traceback__.tb_frame)
    e.extra = [1]
    if hasattr(e, "add_note"):
        e.add_note("note")
for cls, arguments in ((OSError, (2, "x", "file")), (OSError, (2, "x", "one", None, "two")), (StopIteration, ([1],)),
                       (SystemExit, ([2],)), (SyntaxError, ("m", ("f", 1, 2, "t"))), (StopAsyncIteration, ()),
                       (UnicodeDecodeError, ("utf-8", b"x", 0, 1, "r")), (UnicodeEncodeError, ("utf-8", "x", 0, 1, "r")),
                       (UnicodeTranslateError, ("x", 0, 1, "r")), (ImportError, ("m",)), (AttributeError, ("m",)),
                       (NameError, ("n",)), (KeyError, ([1],)), (BlockingIOError, (1, "x", 5)), (MemoryError, ()),
                       (RecursionError, ("r",)), (IndentationError, ("m", ("f", 1, 2, "t"))), (KeyboardInterrupt, ()),
                       (GeneratorExit, ()), (UserWarning, ("w",))):
    keep(cls(*arguments))
keep(ImportError("x", name="n", path="p"))
for bad in ("None.foo", "undefined_name", "open('/nonexistent')", "int('x')", "import nonexistent_module", "1 +",
            "b'\\xff'.decode()", "next(iter(()))", "def f(): return f(*args)\nf()"):
    try:
        exec(bad)
    except Exception as e:
        keep(e)
if sys.version_info >= (3, 11):
    keep(eval("ExceptionGroup('g', [ValueError(1), TypeError(2)])"))

# ---- weak references -------------------------------------------------------------------------


class RefSubclass(weakref.ref):
    pass


alive = Init()
keep(alive)
for o in (weakref.ref(alive), weakref.ref(alive, lambda r: 0), weakref.proxy(alive), weakref.proxy(function),
          weakref.WeakValueDictionary(a=alive), weakref.WeakKeyDictionary({alive: [1]}), weakref.WeakSet([alive]),
          weakref.finalize(alive, len, []), weakref.WeakMethod(m.method)):
    keep(o)
fill(RefSubclass(alive), x=[1])
keep(weakref.ref(Init()))           # dead
for o in (set([1]), frozenset([2]), collections.deque([1]), array.array("b"), generator(1), Slots(), lambda: 1,
          type("Referred", (), {}), Exception if False else RefSubclass):
    keep(o)
    keep(weakref.ref(o, print))

# ---- iterators -----------------------------------------------------------------------------------


class Sequence:
    def __getitem__(self, i):
        return i

    def __len__(self):
        return 3


used = iter({1: [2], 3: [4]}.items())
next(used)
used_list = iter([1])
list(used_list)
far = enumerate("abc", 1 << 70)
next(far)
zipped = zip([[1]], [[2]])
next(zipped)
for o in (iter([1, 2]), reversed([1, 2]), iter((1, 2)), iter({1: 2}), iter({1: 2}.values()), iter({1: [2]}.items()),
          {1: 2}.keys(), {1: 2}.values(), {1: 2}.items(), iter({1, 2}), iter("abc"), iter("h\u00e9"), iter(b"x"),
          iter(bytearray(b"x")), enumerate([1]), reversed((1, 2)), zip([1], [2]), map(len, [[1]]), map(max, [1], [2]),
          filter(None, [1]), iter(len, 5), iter(collections.deque([1])), reversed(collections.deque([1])),
          iter(memoryview(b"x")), iter(ordered), iter(ordered.items()), ordered.keys(), reversed({1: 2}),
          reversed({1: 2}.items()), iter(Sequence()), reversed(Sequence()), iter(array.array("b", b"x")), used,
          used_list, far, zipped):
    keep(o)

# ---- functools, array, memoryview, struct sequences --------------------------------------------------

keep(functools.partial(len, [1], x=2))
fill(functools.partial(len), attribute=[1])
keep(functools.partialmethod(len))
keep(functools.cmp_to_key(len))
keep(functools.cmp_to_key(len)([1]))


@functools.lru_cache(maxsize=10)
def cached(x, y=1):
    return [x]


@functools.lru_cache(maxsize=None)
def cached_for_ever(x):
    return [x]


@functools.lru_cache(maxsize=0)
def not_cached(x):
    return 1


@functools.singledispatch
def dispatched(x):
    return x


for i in range(20):
    cached(i)
    cached_for_ever(i)
    cached_for_ever(str(i))
    not_cached(i)
cached(1, y="s")
cached.attribute = [1]
for o in (memoryview(b"abc"), memoryview(bytearray(b"xyz"))[1:], memoryview(array.array("i", [1, 2])),
          memoryview(b"abcdef").cast("B", (2, 3)), array.array("d", [1.0] * 100), array.array("b"),
          array.array("q", range(10))):
    keep(o)
o = array.array("i", range(10))
o.pop()
keep(o)
o = memoryview(b"released")
o.release()
keep(o)
Point = collections.namedtuple("Point", "a b")
keep(Point(1, [2]))
for o in (os.stat("/"), time.localtime(), time.gmtime(0), sys.flags, sys.version_info, sys.float_info, os.times(),
          os.terminal_size((1, 2))):
    keep(o)

# ---- asyncio, as a pure program uses it ---------------------------------------------------------------

loop = asyncio.new_event_loop()
keep(loop)
future = loop.create_future()
keep(future)
task = loop.create_task(coroutine(3))
keep(task)

# ---- generations, and garbage of known size --------------------------------------------------------------

gc.collect()
keep([object() for _ in range(100)] + [[i] for i in range(100)])
gc.collect(1)
keep([{i: [i]} for i in range(100)])
gc.collect(0)
keep([Init() for _ in range(100)])
for i in range(250):
    x, y = Plain(), Slots()
    x.a, y.x = y, x
del x, y
