# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects of every type that pyheap reads exactly, and what each holds by count without
visiting it: gc does not tell, but who makes them knows.

OWNED is for truth.py. Nothing else refers to most of the keys, names and numbers here,
so pyheap finds them only if it reads these references. Where a count can tell, it is
asked, too: see counted().
"""
import array
import asyncio
import collections
import datetime
import functools
import gc
import itertools
import os
import sys
import time
import types
import weakref

VERSION = sys.version_info
HEAP_TYPE = 1 << 9
OWNED = []


def owns(o, *held):
    """o holds these and, if it does not visit it, its type: instances of heap types do."""
    OWNED.append((o, held + type_of(o)))
    return o


def owns_all(o, held):
    """o holds what the iterable `held` gives when it is asked in the twin."""
    OWNED.append((o, held))
    assert not type_of(o)
    return o


def type_of(o):
    t = type(o)
    visited = any(r is t for r in gc.get_referents(o))
    return (t,) if t.__flags__ & HEAP_TYPE and not visited else ()


def counted(make, fresh):
    """make(fresh) holds a new object that it does not visit: the count of references says so."""
    before = sys.getrefcount(fresh)
    o = make(fresh)
    visited = sum(r is fresh for r in gc.get_referents(o))
    after = sys.getrefcount(fresh)
    assert max(before, after) >= 1 << 30 or after == before + visited + 1, (o, before, after, visited)
    return o


def text(i=itertools.count()):
    """A str that nothing else has."""
    return "a text of its own %d in %d" % (next(i), id(OWNED))


def number(i=itertools.count(1 << 70)):
    return next(i)


# ---- dicts --------------------------------------------------------------------------------

def texts(n):
    return {text(): [i] for i in range(n)}


for n in (1, 5, 6, 300, 22000):     # each width of the index
    d = texts(n)
    assert len(set(map(id, d))) == n
    owns_all(d, d.keys())
d = counted(lambda s: {s: [1]}, text())
owns_all(d, d.keys())
owns({})
owns({1: text(), text(): 1, (1, 2): 3})                     # visits its keys
owns({None: 1})
d = texts(100)
for key in list(d)[::3]:
    del d[key]
owns_all(d, d.keys())
d = texts(100)
while len(d) > 3:
    d.popitem()
owns_all(d, d.keys())
d = texts(100)
d.clear()
owns(d)
d = texts(20)
d.clear()
d[text()] = 1
owns_all(d, d.keys())
d = texts(20)
owns_all(d.copy(), d.keys())
owns_all(dict(d), d.keys())
owns_all(d, d.keys())
owns_all(dict.fromkeys(d, 1), d.keys())
d = texts(5)
d[1] = 2
del d[1]                            # stays a table for keys of any type
owns(d)
d = texts(5)
d.get(1)                            # up to 3.9 this makes it one
owns(d, *(d if VERSION >= (3, 10) else ()))


class Text(str):
    pass


owns({Text(text()): 1})             # not quite str
owns({Text(text()): 1, text(): 1})


class Dict(dict):
    pass


class DictWithoutDict(dict):
    __slots__ = ()


for make in (Dict, DictWithoutDict, collections.Counter, functools.partial(collections.defaultdict, list),
             collections.OrderedDict):
    d = make(texts(10))
    owns_all(d, d.keys())           # the nodes of an OrderedDict hold each once more, and visit it
    owns(make({1: [2], "s": 3}))
    owns(make())
d = collections.OrderedDict(texts(50))
for key in list(d)[::3]:
    del d[key]
owns_all(d, d.keys())
if VERSION >= (3, 15):
    d = frozendict(texts(7))        # noqa: F821
    owns_all(d, d.keys())
    owns(frozendict({1: text()}))   # noqa: F821
owns_all(globals(), globals().keys())


# ---- classes, and what instances share ----------------------------------------------------------

def interned(*names):
    return tuple(map(sys.intern, names))


def dict_of(t):
    """The dict itself, which t.__dict__ shows."""
    return gc.get_referents(t.__dict__)[0]


def class_owns(t, *further):
    owns(t, t.__name__, t.__qualname__, *further)
    d = dict_of(t)
    owns_all(d, d.keys())


class HiddenDict:
    """The __dict__ of an instance that visits its values beside it (3.13.0 to .12, 3.14.0 to .3)."""
    def __init__(self, o):
        self.o = o

    def __iter__(self):
        held = [self.o.__dict__]
        return iter([] if any(r is held[0] for r in gc.get_referents(self.o)) else held)


class Shared:
    def __init__(self):
        self.first_shared_key = [1]
        self.second_shared_key = [2]


for _ in range(3):
    o = owns(Shared())
owns(o.__dict__)                    # the keys are the type's
owns_all(o, HiddenDict(o))
o = owns(Shared())
o.third_shared_key = 1
class_owns(Shared, *interned("first_shared_key", "second_shared_key", "third_shared_key"))
o = owns(Shared())
o.__dict__[1] = [2]                 # a table of its own, which visits its keys
owns(o.__dict__)
o = owns(Shared())
o.__dict__ = texts(3)
owns_all(o.__dict__, o.__dict__.keys())
d = owns(Shared().__dict__)         # outlives its instance


class Deleting:
    def __init__(self):
        self.deleted_key = [1]
        self.key_that_stays = [2]


o = owns(Deleting())
del o.deleted_key                   # up to 3.10 the class forgets the keys, and the dict gets a table of its own
shared = interned("deleted_key", "key_that_stays")
owns(o.__dict__, *(shared[1:] if VERSION < (3, 11) else ()))
if VERSION >= (3, 11):
    owns_all(o, HiddenDict(o))
class_owns(Deleting, *(shared if VERSION >= (3, 11) else ()))


class Forgotten:
    def __init__(self):
        self.key_of_forgotten_class = 1


d = Forgotten().__dict__
forgotten = weakref.ref(Forgotten)
del Forgotten
gc.collect()
if forgotten() is None:
    owns_all(d, d.keys())           # outlives its class, and is all that is left of the shared keys
else:                               # once it has a thread, a free-threaded 3.13 makes classes immortal
    assert not sys._is_gil_enabled()
del forgotten


class Unused:
    pass


class Base:
    __slots__ = ("one", "two", "__weakref__")


class OneSlot(Base):
    __slots__ = "only"


class NoSlots(Base):
    __slots__ = ()


class Bare:
    __slots__ = ()


class BareText(str):
    __slots__ = ()


class BareInt(int):
    __slots__ = ()


class BareFloat(float):
    __slots__ = ()


class BareBytes(bytes):
    __slots__ = ()


class BareTuple(tuple):
    __slots__ = ()


class Meta(type):
    pass


class OfMeta(metaclass=Meta):
    pass


class Renamed:
    pass


Renamed.__name__ = text()
Renamed.__qualname__ = text()
some_dict, some_tuple = [dict], [tuple]       # one that Python code cannot get at
class_owns(Unused, some_dict)
class_owns(Base, some_tuple, some_dict)         # names of slots, subclasses
class_owns(OneSlot, some_tuple)
class_owns(NoSlots, *([some_tuple] if VERSION < (3, 15) else []))
class_owns(Bare, *([some_tuple] if VERSION < (3, 15) else []))
class_owns(Meta)
class_owns(OfMeta)
class_owns(Renamed)
class_owns(type("".join(["Made of ", text()]), (Unused,), {text(): 1}))
for o in (Base(), OneSlot(), NoSlots(), Bare(), BareText(text()), BareInt(number()), BareFloat(1.5),
          BareBytes(b"bytes"), BareTuple([1]), BareTuple(), OfMeta(), Unused(), Text(text()), object()):
    owns(o)

if VERSION >= (3, 15):
    class TupleWithSlots(tuple):
        __slots__ = ("after", "the_items")

    for n in (0, 1, 5):
        o = owns(TupleWithSlots([text() for _ in range(n)]))
        o.after = [n]
        o.the_items = text()
    owns(TupleWithSlots([1]))       # not set
    class_owns(TupleWithSlots, some_tuple)

# ---- code ------------------------------------------------------------------------------------------


def function(a, b, *c, keyword=None, **d):
    """A text."""
    local = a
    cell = b

    def inner():
        try:
            return cell, os.path, 1 << 100
        except ValueError:
            return a
    return inner, local


def other(a, b):
    try:
        return [c for c in a if c in b], "a constant", 12345678901234567890
    except KeyError:
        return lambda: a


# functions that only this file has, each twice: as it is, and after it was asked for what is made then
def code_owns(code, asked):
    held = [code.co_consts, code.co_names, code.co_filename, code.co_name]
    if VERSION < (3, 11):
        held += [code.co_code, code.co_varnames, code.co_freevars, code.co_cellvars]
        held.append(code.co_linetable if VERSION >= (3, 10) else code.co_lnotab)
    else:
        # names and kinds of local variables
        held += [code.co_qualname, code.co_linetable, code.co_exceptiontable, [tuple], [bytes]]
        if asked:
            held.append(code.co_code)
        if asked and VERSION >= (3, 12):
            held += [code.co_varnames, code.co_cellvars, code.co_freevars]
    # a free-threaded build's code visits its constants
    if any(r is code.co_consts for r in gc.get_referents(code)):
        del held[0]
    owns(code, *held)


code_owns(function.__code__, False)
code_owns(other.__code__, True)
code_owns(function(1, 2)[0].__code__, True)
code_owns(compile("x = 1; y = x.attribute", text(), "exec"), False)
code_owns((lambda: 0).__code__.replace(co_name=text(), co_consts=(text(), number())), False)
code_owns(counted(lambda s: compile("", s, "exec"), text()), True)

# ---- ranges, their iterators, bytearray ----------------------------------------------------------------

for r in (range(number()), range(number(), number() + 1000), range(-number(), number(), number()), range(5), range(0),
          range(3, 100, 7)):
    owns(r, r.start, r.stop, r.step, [int])                    # and its length
for zone in (datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=3)), None):
    for moment in (datetime.datetime(2026, 11, 21, tzinfo=zone), datetime.time(1, 2, tzinfo=zone)):
        owns(moment, *([zone] if zone else []))
difference, name = datetime.timedelta(hours=5, seconds=7), text()
owns(datetime.timezone(difference, name), difference, name)
owns(counted(lambda d: datetime.timezone(d), datetime.timedelta(hours=6)))
OWNED.pop()
for moment in (difference, datetime.date(2026, 11, 21)):
    owns(moment)
owns(counted(lambda n: range(n, n + number()), number()))
OWNED.pop()
for r in (range(number()), range(-number(), number(), number() // 7)):
    it = iter(r)
    index = ([int],) if VERSION < (3, 12) else ()
    owns(it, r.start, r.step, [int], *index)
    it = iter(r)
    next(it)
    start = (r.start,) if VERSION < (3, 12) else ([int],)
    owns(it, *start, r.step, [int], *index)
owns(iter(range(5)))
o = [bytes] if VERSION >= (3, 15) else ()
for b in (bytearray(b"some bytes"), bytearray(1000)):
    owns(b, *(o and (o,)))
b = bytearray(b"front is cut")
del b[:6]
owns(b, *(o and (o,)))

# ---- descriptors ---------------------------------------------------------------------------------------------

for o, asked in ((list.append, True), (list.insert, False), (dict.__dict__["fromkeys"], False), (int.__add__, True),
                 (int.__sub__, False), (type.__dict__["__mro__"], False), (Base.__dict__["one"], True),
                 (Base.__dict__["two"], False), (types.FunctionType.__dict__["__code__"], False),
                 (type.__dict__["__dict__"], True), (types.FunctionType.__dict__["__globals__"], False)):
    owns(o, o.__name__, *((o.__qualname__,) if asked else ()))

# ---- modules, coroutines, struct sequences -----------------------------------------------------------------------

m = types.ModuleType(text(), "doc")
owns(m, m.__name__)
m.__name__ = text()                 # changes what is in the dict alone
m = type("Module", (types.ModuleType,), {})(text())
owns(m, m.__name__)


async def coroutine():
    pass


def make_coroutine():
    return coroutine()


sys.set_coroutine_origin_tracking_depth(3)
c = make_coroutine()
sys.set_coroutine_origin_tracking_depth(0)
assert c.cr_origin
owns(c, c.cr_origin)
owns(coroutine())

owns(time.localtime(1e9))           # its fields without index are visited, too
owns(sys.flags)
owns(sys.version_info)

# ---- what visits all that it holds ----------------------------------------------------------------------------------


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

    def method(self):
        return __class__


class Raising:
    def __getitem__(self, i):
        raise IndexError


def generator():
    here = [1]
    yield here
    yield sys._getframe()


async def async_generator():
    yield 1


def finished_frame():
    here = [text()]
    return here and sys._getframe()


def exceptions():
    for cls, arguments in ((ValueError, (text(),)), (OSError, (2, text(), text())), (StopIteration, ([1],)),
                           (SystemExit, ([2],)), (SyntaxError, (text(), (text(), 1, 2, text()))),
                           (UnicodeDecodeError, ("utf-8", b"x", 0, 1, text())), (KeyError, ([1],)),
                           (UnicodeEncodeError, ("utf-8", text(), 0, 1, text())), (AttributeError, (text(),)),
                           (UnicodeTranslateError, (text(), 0, 1, text())), (NameError, (text(),)), (MemoryError, ()),
                           (BlockingIOError, (1, text(), 5))):
        yield cls(*arguments)
    yield ImportError(text(), name=text(), path=text())
    for bad in ("None.foo", "undefined_name", "open('/nonexistent')", "1 +", "{}[0]"):
        try:
            exec(bad)
        except Exception as e:
            yield e
            yield e.__traceback__
    yield type("Error", (Exception,), {})(text())


@functools.lru_cache(maxsize=3)
def cached(x):
    return [x]


for i in range(5):
    cached(text())
m = Methods()
alive = Shared()
ordered = collections.OrderedDict(a=[1])
g = generator()
next(g)
h = generator()
next(h)
used = enumerate("abc", number())
next(used)
owns(functools.cmp_to_key(len), *((len,) if VERSION < (3, 10) else ()))    # not collected up to 3.9
for o in (
    m.method, m.of_class, Methods.static, Methods.method, Methods.__dict__["getter"], Methods.__dict__["of_class"],
    Methods.__dict__["static"], Methods.__dict__, super(Methods, m), [].append, len, "x".join, (1).__add__, os.stat,
    types.CellType([1]), types.MappingProxyType({1: [2]}), function, lambda a=text(), *, b=text(): a,
    types.MethodType(len, [text()]), property(None, None, None, text()), staticmethod(len), classmethod(len),
    finished_frame(), g, generator(), async_generator(), async_generator().__anext__(),
    async_generator().athrow(KeyError), coroutine().__await__(), weakref.ref(alive), weakref.ref(alive, lambda r: 0),
    weakref.proxy(alive), weakref.proxy(function), type("Ref", (weakref.ref,), {})(alive), weakref.ref(Shared()),
    [text()], (text(), [1]), {text()}, frozenset([text()]), set(range(100)), collections.deque([text()] * 100), [],
    (), type("List", (list,), {})([text()]), type("Tuple", (tuple,), {})([text()]),
    type("Set", (set,), {})([text()]), collections.namedtuple("Point", "a b")(text(), [1]), types.SimpleNamespace(),
    type("Deque", (collections.deque,), {})(), array.array("d", [1.5]), functools.partial(len, text(), a=text()),
    text(), number(), -5, True, 1.5, 2j, None, Ellipsis, NotImplemented, b"bytes",
    bytes(1000), slice(text(), number(), [1]), memoryview(b"abc"), *gc.get_referents(memoryview(b"abc")),
    memoryview(bytearray(b"abc"))[1:], iter([1]), reversed([text()]), iter((text(),)), iter({text(): 1}),
    iter({text(): 1}.items()), iter({1: text()}.values()), reversed({1: 2}), reversed({1: 2}.values()),
    reversed({1: 2}.items()), {}.keys(), {1: text()}.items(), {}.values(), iter({text()}), iter(text()),
    iter("h\u00e9" * 9), iter(b"bytes"), iter(bytearray(b"x")), used, reversed((1, [2])), zip([text()], [1]),
    map(len, [text()]), filter(None, [text()]), iter(len, text()), iter(collections.deque([1])),
    reversed(collections.deque([1])), iter(Raising()), reversed(range(5)), iter(ordered), *exceptions(),
):
    owns(o)

# its list of links, besides the dict in which they are
owns(cached, *next(d for d in gc.get_referents(cached) if type(d) is dict and len(d) == 3).values())

# static types: all that they hold is unvisited
for t in (bool, range, slice, property, memoryview, bytearray, enumerate, type(len), type(sys), type(None), KeyError):
    subclasses = (some_dict,) if type.__subclasses__(t) else ()
    owns(t, dict_of(t), t.__mro__, t.__bases__, *subclasses)
for t in (bool, range, slice):
    d = dict_of(t)
    owns_all(d, d.keys())

del _, d, o, t, m, g, h, c, r, b, it, i, n, key, make, used, ordered, asked, start, index, subclasses
