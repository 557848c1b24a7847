# SPDX-License-Identifier: GPL-2.0-or-later
"""Classes and subclasses of builtins with each set of slots, instances with each kind of
attributes, and dicts of each kind of keys, beyond what workload_basic.py has of them."""
import _thread
import abc
import array
import asyncio
import collections
import ctypes
import datetime
import decimal
import fractions
import functools
import gc
import io
import itertools
import queue
import random
import socket
import sqlite3
import string
import sys
import types
import typing
import weakref
import xml.etree.ElementTree

from parts import KEEP, keep, Key, nothing, part, Text, VERSION


# ---- classes: every set of slots over every builtin -----------------------------------

NAMES = ("s", "t")
SLOTS = (None, (), NAMES, ("__dict__",), ("__weakref__",), NAMES + ("__dict__",), NAMES + ("__weakref__",),
         ("__dict__", "__weakref__"), NAMES + ("__dict__", "__weakref__"), ("one",), {"documented": "slot"})


class Meta(type):
    def __call__(cls, *args):
        return super().__call__(*args)


class SlottedMeta(Meta):
    attribute = [1]


def bases():
    """Builtin classes that can be derived from, and what to call them with."""
    yield from ((object, ()), (dict, ({"a": [1]},)), (dict, ({1: [2]},)), (list, ([1, [2]],)), (tuple, ([1, [2]],)),
    (tuple, ()),
                (set, ([1, (2,)],)), (frozenset, ([1, (2,)],)), (str, ("text",)), (str, ("t\u00e9xt",)), (str, ("\u0100",)),
                (str, ("\U0001F600",)), (bytes, (b"bytes",)), (bytearray, (b"bytes",)), (int, (5,)), (int,
                (1 << 200,)), (float, (1.5,)),
                (complex, (1, 2)), (collections.deque, ([1, [2]],)), (collections.OrderedDict, ({"a": [1]},)),
                (collections.defaultdict, (list, {"a": [1]})), (BaseException, ([1],)), (OSError, (2, "x", "file")),
                (ImportError, ("m",)), (SyntaxError, ("m",)), (types.ModuleType, ("made",)), (property, ()),
                (staticmethod, (nothing,)), (classmethod, (nothing,)), (super, (int, 5)), (enumerate, ([[1]],)), (zip,
                ([1], [[2]])),
                (map, (nothing, [[1]])), (filter, (None, [1])), (reversed, ("abc",)), (array.array, ("d", [1.0, 2.0])),
                (weakref.ref, (nothing,)), (functools.partial, (nothing, [1])), (types.SimpleNamespace, ()),
                (itertools.count, (5,)), (itertools.chain, ([1], [2])), (itertools.product, ([1], [[2]])),
                (datetime.date, (2020, 1, 1)), (datetime.datetime, (2020, 1, 1)), (datetime.time, (1,)),
                (datetime.timedelta, (1,)),
                (datetime.tzinfo, ()), (decimal.Decimal, ("1.5",)), (decimal.Context, ()), (fractions.Fraction, (1, 3)),
                (io.BytesIO, (b"x",)), (io.StringIO, ("x",)), (io.IOBase, ()), (random.Random, (1,)), (_thread._local, ()),
                (socket.socket, ()), (sqlite3.Connection, (":memory:",)), (queue.SimpleQueue, ()),
                (xml.etree.ElementTree.Element, ("tag",)), (ctypes.Structure, ()), (ctypes.c_int, (5,)),
                (ctypes.py_object, ([1],)),
                (string.Formatter, ()), (abc.ABC, ()), (typing.Generic, ()), (asyncio.Event, ()),
                (type, ("Made", (), {"x": [1]})))
    if hasattr(types, "GenericAlias"):
        yield types.GenericAlias, (list, (int,))
    if VERSION >= (3, 11):
        yield ExceptionGroup, ("g", [ValueError(1)])            # noqa: F821
    if VERSION >= (3, 15):
        yield frozendict, ({"a": [1]},)                         # noqa: F821


def allowed(base, slots):
    """What the language says of these slots over this base."""
    if slots is None or not slots:
        return True
    if base.__itemsize__ and not (VERSION >= (3, 15) and issubclass(base, tuple)):
        return VERSION >= (3, 15) and set(slots) <= {"__dict__", "__weakref__"} and not (
            base.__weakrefoffset__ and "__weakref__" in slots or base.__dictoffset__ and "__dict__" in slots)
    return not ("__dict__" in slots and base.__dictoffset__ or "__weakref__" in slots and base.__weakrefoffset__)


@part
def subclasses():
    for n, (base, arguments) in enumerate(bases()):
        for m, slots in enumerate(SLOTS):
            if not allowed(base, slots):
                continue
            cls = types.new_class("Sub%d_%d" % (n, m), (base,) if base is not typing.Generic else
                                  (typing.Generic[typing.TypeVar("T")],), {},
                                  lambda names: names.update({} if slots is None else {"__slots__": slots}))
            keep(cls)
            if base is type:
                keep(cls(*arguments))
                continue
            for o in (cls(*arguments), cls(*arguments)):
                keep(o)
            for name in slots or ():
                if name in ("s", "documented", "one"):
                    setattr(o, name, [name])
            if cls.__dictoffset__:
                o.attribute = [1]
            if cls.__weakrefoffset__:
                keep((weakref.ref(o), weakref.ref(o, nothing)))


@part
def hierarchies():
    def make(name, parents, slots=None, meta=type, **names):
        if slots is not None:
            names["__slots__"] = slots
        cls = meta(name, parents, names)
        o = cls()
        for base in cls.__mro__:
            for slot in base.__dict__.get("__slots__", ()):
                if not slot.startswith("__"):
                    setattr(o, slot, [slot])
        if hasattr(o, "__dict__"):
            o.later = [1]
        KEEP.extend((cls, o, cls()))
        return cls
    plain = make("Plain", ())
    empty = make("Empty", (), ())
    slotted = make("Slotted", (), ("a", "b"))
    weak = make("Weak", (), ("a", "__weakref__"))
    with_dict = make("WithDict", (), ("a", "__dict__"))
    for parents in ((plain, slotted), (slotted, plain), (empty, slotted), (slotted, empty), (weak, empty), (with_dict,
    empty),
                    (plain, empty), (empty, plain), (slotted, list), (empty, dict), (plain, dict), (plain, list),
                    (plain, int),
                    (empty, int), (plain, str), (empty, tuple), (plain, tuple), (plain, Exception), (empty, Exception),
                    (plain, set), (abc.ABC, slotted), (collections.UserDict, empty), (weak, plain), (with_dict, plain)):
        if slotted in parents and list in parents:
            continue                    # layouts conflict
        for slots in (None, (), ("more",)):
            if slots and any(p.__itemsize__ for p in parents):
                continue
            metas = [type(p) for p in parents if type(p) is not type] or [type]
            make("Of" + "And".join(p.__name__ for p in parents), parents, slots, metas[0])
    make("OfMeta", (), None, Meta)
    make("OfSlottedMeta", (), ("q",), SlottedMeta)
    make("OfMetaAndPlain", (plain,), ("q",), Meta)
    make("OfAbstract", (), ("q",), abc.ABCMeta)
    mangled = make("Mangled", (slotted,), ("c", "d", "e", "f", "g"))
    make("Deeper", (mangled,), ("h", "__weakref__"))
    make("Deepest", (KEEP[-3],), None)
    # what changes after the fact
    o = slotted()
    o.a = o
    changed = plain()
    changed.x = [1]
    changed.__class__ = type("Other", (), {})
    rebased = type("Rebased", (plain,), {})
    kept = rebased()
    rebased.__bases__ = (type("NewBase", (), {"y": [1]}),)
    del slotted.b
    KEEP.extend((o, changed, kept))

    class Hooks:
        def __init_subclass__(cls, **keywords):
            cls.keywords = keywords

        def __class_getitem__(cls, item):
            return cls, item

        def __getattr__(self, name):
            raise AttributeError(name)

        def __set_name__(self, owner, name):
            self.owner = owner

    class Hooked(Hooks, option=[1]):
        descriptor = Hooks()
    KEEP.extend((Hooked(), Hooks[int]))


# ---- dicts and attributes ---------------------------------------------------------------

@part
def dicts():
    kinds = {"int": range(20), "negative": range(-20, 0), "big": [1 << (60 + i) for i in range(20)],
    "float": [i + .5 for i in range(20)],
             "text": ["key %d" % i for i in range(20)], "latin": ["k\u00e9%d" % i for i in range(20)],
             "wide": ["\u0100%d" % i for i in range(20)], "bytes": [b"%d" % i for i in range(20)],
             "tuple": [(i, [1] and i) for i in range(20)], "frozenset": [frozenset([i]) for i in range(20)],
             "type": [int, str, Key, Text, None, True, ...], "object": [Key() for _ in range(20)],
             "function": [nothing, len, print],
             "subclass": [Text(i) for i in range(20)], "mixed": ["a", 1, None, (1,), "b"]}
    for keys in kinds.values():
        keys = list(keys)
        for size in (1, len(keys)):
            d = dict((k, [k]) for k in keys[:size])
            atoms = dict.fromkeys(keys[:size])
            KEEP.extend((d, atoms, d.copy(), {**d}, types.MappingProxyType(d), d.keys(), d.values(), iter(d.items()),
                         set(keys[:size])))
            if VERSION >= (3, 8):
                KEEP.extend((reversed(d), reversed(d.values()), reversed(d.items())))
        d = dict((k, [k]) for k in keys)
        for k in keys[1:]:
            del d[k]
        keep(d)
        d = dict((k, [k]) for k in keys)
        for k in keys:
            del d[k]                    # empty, of a table that is not
        keep(d)
        d = d.copy()
        keep(d)
        s = set(keys)
        s.clear()
        keep(s)
    # the sizes at which tables and their indices grow
    for size in (4, 5, 6, 8, 10, 11, 16, 21, 22, 85, 86, 170, 171, 10922, 43690, 43691):
        KEEP.extend((dict.fromkeys(range(size)), dict.fromkeys(map(str, range(size)), 1)) if size > 200 else
                    ({i: [i] for i in range(size)}, {str(i): [i] for i in range(size)}, set(range(size)),
                    frozenset(range(size))))
    # text keys until another comes, or is asked for
    for probe in (1, Text("a"), None):
        d = {"a": [1], "b": [2]}
        d.get(probe)
        keep(d)
        d = {"a": [1], "b": [2]}
        d[probe] = [3]
        keep(d)
        d.pop(probe)
        keep(d.copy())
    d = {"a": [1]}
    d.update({"b": [2], 3: [4]})
    d.setdefault("c", [5])
    d.popitem()
    keep(d)
    if VERSION >= (3, 9):
        keep({"a": [1]} | {1: [2]})


class Shared:
    def __init__(self, n=3):
        for i in range(n):
            setattr(self, "a%d" % i, [i])


@part
def attributes():
    def made(n=3, cls=Shared):
        o = cls(n)
        keep(o)
        return o
    for n in (0, 1, 5, 6, 28, 29, 30, 31, 32, 64, 100):
        cls = type("Of%d" % n, (Shared,), {})
        first, second, third = made(n, cls), made(n, cls), made(n, cls)
        keep((first, second.__dict__, third.__dict__.copy(), vars(first)))
        fourth = made(n, cls)
        for i in range(0, n, 2):
            delattr(fourth, "a%d" % i)
        fifth = made(n, cls)
        for i in range(n):
            delattr(fifth, "a%d" % i)
        fifth.again = [1]
        if n:
            sixth = made(n, cls)
            d = sixth.__dict__
            for i in range(n):
                delattr(sixth, "a%d" % i)
            keep(d)
            sixth.a0 = [2]
    for change in ("o.__dict__.clear()", "o.__dict__.pop('a1')", "o.__dict__.popitem()", "o.__dict__ = {}",
    "o.__dict__ = {1: [2]}",
                   "o.__dict__ = Shared().__dict__", "o.__dict__ = dict(o.__dict__)", "o.__dict__.update(z=[1])",
                   "o.__dict__.update({1: [2]})", "o.__dict__[Text('a1')] = [1]", "o.__dict__.get(5)",
                   "o.__dict__.setdefault('y', [1])",
                   "del o.__dict__", "del o.__dict__; o.x = [1]", "d = o.__dict__; del o.__dict__; keep(d)",
                   "d = o.__dict__; o.__dict__ = {'n': [1]}; keep(d)", "o.__dict__ = type('D', (dict,), {})(s=[1])",
                   "del o.a2; o.a2 = [1]", "del o.a0; o.a0 = [1]", "del o.a0, o.a1, o.a2", "o.__class__ = Key",
                   "o.__dict__ = collections.OrderedDict(a=[1])", "d = o.__dict__; d.clear(); o.x = [1]",
                   "d = o.__dict__.copy(); keep(d); d['more'] = [1]", "object.__setattr__(o, 'set', [1])",
                   "setattr(o, 'made ' + str(len(KEEP)), [1])", "o.__dict__[None] = [1]; del o.__dict__[None]"):
        o = made()
        names = {"o": o, "Text": Text, "keep": keep, "KEEP": KEEP, "Shared": Shared, "Key": Key, "collections": collections}
        exec(change, names)
        keep(o)
        o = made()                      # the same when its dict is there before
        keep(o.__dict__)
        names["o"] = o
        exec(change, names)
    # orders that break what instances share
    for order in itertools.permutations("abc"):
        o = Key()
        for name in order:
            setattr(o, name, [name])
        keep(o)
    # names of attributes that are not plain
    o = Key()
    setattr(o, "\u00e9t\u00e9", [1])
    setattr(o, "with space", [2])
    setattr(o, Text("of a subclass"), [3])
    keep(o)
    nothing.attribute = [1]
    vars(types.ModuleType("x"))[5] = [1]


# classes that died meanwhile are keys of weak dicts, which notice in their own time
gc.collect()
