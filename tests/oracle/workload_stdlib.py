# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects of every type of the standard library that has state, as far as this
version and build has it: what is missing is named in MISSING, nothing else is."""
import sys

KEEP, MISSING = [], []
keep = KEEP.append


def part(function):
    """Runs one part; an absent module or attribute leaves out the rest of it only."""
    try:
        function()
    except (ImportError, AttributeError, NotImplementedError, TypeError, NameError, SyntaxError) as error:
        MISSING.append("%s: %s" % (function.__name__, error))
    return function


@part
def itertools_all():
    import itertools as it
    made = [it.count(1), it.count(1.5, 2), it.cycle([1, [2]]), it.repeat([1], 3), it.accumulate([1, 2], lambda a, b: a),
            it.chain([1], [2]), it.chain.from_iterable([[1], [2]]), it.compress([[1]], [1]), it.dropwhile(None, [1]),
            it.filterfalse(None, [0, 1]), it.groupby([1, 1, 2], str), it.islice([1, 2, 3], 2), it.starmap(pow, [(2, 3)]),
            it.takewhile(bool, [1, 0]), it.zip_longest([1], [2, 3], fillvalue=[]), it.product([1, 2], [[3]]),
            it.permutations([1, 2, 3], 2), it.combinations([1, [2], 3], 2), it.combinations_with_replacement([1, 2], 2),
            *it.tee([1, 2, 3], 2)]
    for i in made[1:]:
        try:
            next(i)
        except (TypeError, StopIteration):
            pass
    KEEP.extend(made)
    group = next(it.groupby([1, 1, 2]))
    keep(group)
    a, b = it.tee(iter(range(1000, 1100)))
    for _ in range(70):
        next(a)
    KEEP.extend((a, b))
    keep(it.pairwise([1, 2, 3]))
    keep(it.batched([1, 2, 3], 2))


@part
def functools_operator():
    import functools
    import operator
    keep(functools.cmp_to_key(lambda a, b: 0))
    keep(functools.cmp_to_key(lambda a, b: 0)([1]))
    keep(functools.singledispatch(lambda x: x))
    KEEP.extend((operator.itemgetter(1, "a"), operator.attrgetter("a.b", "c"), operator.methodcaller("m", [1], k=2)))
    keep(functools.partial(functools.partial(int, "1"), base=2))

    class Cached:
        @functools.cached_property
        def value(self):
            return [self]
    c = Cached()
    keep((c, c.value))
    keep(functools.partial(print, functools.Placeholder, 1))


@part
def collections_all():
    import collections
    KEEP.extend((collections.ChainMap({}, {1: [2]}), collections.Counter("abc"), collections.UserList([1, [2]]),
                 collections.UserString("abc"), collections.UserDict(a=[1])))
    keep(collections.namedtuple("Point", "x y", defaults=[0])(1, [2]))
    keep(iter(collections.OrderedDict(a=1)))
    keep(collections.OrderedDict(a=[1]).items())


@part
def text():
    import re
    import string
    import struct
    import textwrap
    KEEP.extend((re.compile("(?P<a>x)(y)"), re.compile(b"z"), re.match("(a)(b)?", "abc"), re.compile("a").scanner("aaa"),
                 re.finditer("a", "aaa"), struct.Struct("<I8sd"), struct.iter_unpack("I", bytes(16)), string.Template("$a"),
                 string.Formatter(), textwrap.TextWrapper()))
    from string.templatelib import Template
    name = "x"
    keep(eval("t'hello {name!r:>10} {name}'", {"name": name}))
    keep(iter(eval("t'hello {name}'", {"name": name})))
    assert Template


@part
def numbers():
    import array
    import datetime
    import decimal
    import fractions
    import random
    KEEP.extend((decimal.Decimal("1.5"), decimal.Decimal("1" * 200), decimal.Context(prec=5), decimal.getcontext(),
                 decimal.localcontext(), decimal.getcontext().flags, fractions.Fraction(1, 3), random.Random(1),
                 random.SystemRandom()))
    for code in "bBuhHiIlLqQfd":
        keep(array.array(code, "ab" if code == "u" else [1, 2]))
    keep(iter(array.array("i", [1])))
    utc = datetime.timezone.utc
    KEEP.extend((datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=utc),
                 datetime.time(1), datetime.time(1, tzinfo=utc), datetime.timedelta(1, 2, 3),
                 datetime.timezone(datetime.timedelta(hours=1), "name"), datetime.date(2020, 1, 1).isocalendar()))

    class Zone(datetime.tzinfo):
        def __init__(self):
            self.state = [1]
    keep(datetime.datetime(2020, 1, 1, tzinfo=Zone()))
    import zoneinfo
    import io
    import struct
    block = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + bytes(6) + b"UTC\0"
    keep(zoneinfo.ZoneInfo.from_file(io.BytesIO(block + block + b"\nUTC0\n"), key="Made/Up"))


@part
def files():
    import io
    import mmap
    import os
    import tempfile
    f = tempfile.TemporaryFile()
    f.write(b"x" * 5000)
    f.flush()
    KEEP.extend((f, io.BytesIO(b"abc" * 100), io.StringIO("text"), io.TextIOWrapper(io.BytesIO(b"a\nb")),
                 io.BufferedReader(io.BytesIO(b"raw")), io.BufferedWriter(io.BytesIO()), io.BufferedRandom(io.BytesIO()),
                 io.BufferedRWPair(io.BytesIO(), io.BytesIO()), io.FileIO(os.dup(f.fileno())), open(os.devnull),
                 open(os.devnull, "rb"), mmap.mmap(-1, 4096), mmap.mmap(f.fileno(), 4096), io.BytesIO(b"abc").getbuffer(),
                 io.IncrementalNewlineDecoder(None, True)))
    s = io.StringIO()
    s.write("accumulated")
    s.write("more")
    keep(s)
    keep(next(os.scandir("/")))
    keep(os.scandir("/"))
    KEEP.extend((os.environ, tempfile.SpooledTemporaryFile(), tempfile.TemporaryDirectory()))
    import pathlib
    KEEP.extend((pathlib.Path("/a/b"), pathlib.PurePath("c")))
    import selectors
    import select
    KEEP.extend((selectors.DefaultSelector(), select.poll(), select.epoll()))


@part
def network():
    import socket
    a, b = socket.socketpair()
    KEEP.extend((a, b, a.makefile("rb"), socket.socket()))
    import _socket
    keep(_socket.socket())
    import ssl
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    KEEP.extend((context, incoming, outgoing, context.wrap_bio(incoming, outgoing, server_hostname="example.org")))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.sni_callback = lambda *a: None
    keep(server)
    s = context.wrap_socket(socket.socket(), server_hostname="example.org", do_handshake_on_connect=False)
    keep(s)


@part
def databases():
    import sqlite3

    class Row:
        pass
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    db.execute("create table t (a, b)")
    db.executemany("insert into t values (?, ?)", [(i, "row %d" % i) for i in range(100)])
    cursor = db.execute("select * from t")
    KEEP.extend((db, cursor, cursor.fetchone(), cursor.fetchmany(3), db.cursor()))
    db.set_trace_callback(lambda s: None)
    db.create_function("f", 1, lambda x: x)
    keep(db.total_changes)
    keep(db.blobopen)


@part
def foreign():
    import ctypes

    class Point(ctypes.Structure):
        _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double), ("name", ctypes.c_char_p)]

    class Both(ctypes.Union):
        _fields_ = [("i", ctypes.c_int), ("p", Point)]
    p = Point(1, 2.0, b"name")
    KEEP.extend((p, Both(), (Point * 3)(), ctypes.pointer(p), ctypes.byref(p), ctypes.c_int(5), ctypes.c_char_p(b"x"),
                 ctypes.py_object([1]), ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda x: x), ctypes.CDLL(None),
                 ctypes.pythonapi, ctypes.create_string_buffer(100), Point.x, ctypes.POINTER(Point)()))


@part
def concurrency():
    import contextvars
    import queue
    import threading
    lock, rlock, local = threading.Lock(), threading.RLock(), threading.local()
    local.value = [1]
    variable = contextvars.ContextVar("variable", default=[1])
    token = variable.set({"a": [2]})
    context = contextvars.copy_context()
    for i in range(50):
        context.run(contextvars.ContextVar("v%d" % i).set, [i])
    KEEP.extend((lock, rlock, local, threading.Condition(), threading.Event(), threading.Semaphore(2), threading.Barrier(2),
                 threading.Timer(1, print), queue.Queue(), queue.PriorityQueue(), queue.LifoQueue(), variable, token, context,
                 iter(context), context.items(), iter(context.values())))
    simple = queue.SimpleQueue()
    for i in range(20):
        simple.put([i])
    keep(simple)
    import _thread
    keep(_thread._local())
    # not its thread pools: they do things in a forked child, which the twin is
    from concurrent.futures import _base
    keep(_base.Future())


@part
def asynchronous():
    import asyncio

    async def sleeper(n):
        local = [n]
        await asyncio.sleep(1000)
        return local

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tasks = [loop.create_task(sleeper(i), name="task %d" % i) for i in range(5)]
    future = loop.create_future()
    future.add_done_callback(print)
    done = loop.create_future()
    done.set_result([1])
    failed = loop.create_future()
    failed.set_exception(ValueError([2]))
    failed.exception()
    loop.run_until_complete(asyncio.sleep(0))
    tasks[0].cancel()
    waiting = future.__await__()
    next(waiting)
    from asyncio import futures, tasks as tasks_module
    KEEP.extend((loop, tasks, future, done, failed, waiting, asyncio.Lock(), asyncio.Event(), asyncio.Queue(),
                 futures._PyFuture(loop=loop), loop.call_later(1000, print, [1])))
    keep(tasks_module._PyTask(sleeper(9), loop=loop))


@part
def weak():
    import weakref

    class Thing:
        def method(self):
            return self
    thing = Thing()
    KEEP.extend((thing, weakref.ref(thing), weakref.ref(thing, print), weakref.proxy(thing), weakref.WeakMethod(thing.method),
                 weakref.WeakSet([thing]), weakref.WeakKeyDictionary({thing: [1]}), weakref.WeakValueDictionary(a=thing),
                 weakref.finalize(thing, print, [1])))


@part
def trees():
    import xml.etree.ElementTree as et
    import xml.parsers.expat
    root = et.fromstring("<a x='1'>text<b>c</b>tail<d/><e/><f/><g/><h/></a>")
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = lambda *a: None
    parser.buffer_text = True
    KEEP.extend((root, et.ElementTree(root), et.TreeBuilder(), et.XMLParser(), root.iter(), root.iterfind("b"), parser,
                 et.Element("lonely"), et.XMLPullParser()))
    import csv
    import io
    import json
    KEEP.extend((csv.reader(["a,b"]), csv.writer(io.StringIO()), csv.DictReader(["a,b"]), csv.get_dialect("excel"),
                 json.JSONDecoder(), json.JSONEncoder(), json.JSONEncoder(indent=1)))
    from json import encoder
    keep(encoder.c_make_encoder)
    import ast
    import symtable
    KEEP.extend((ast.parse("a = [1, b.c]"), symtable.symtable("a = 1", "f", "exec")))
    import html.parser
    keep(html.parser.HTMLParser())


@part
def serialised():
    import copyreg
    import io
    import pickle
    shared = [1, 2]
    pickler = pickle.Pickler(io.BytesIO())
    pickler.dump([shared, shared, {"a": (shared,)}])
    unpickler = pickle.Unpickler(io.BytesIO(pickle.dumps([shared, shared])))
    unpickler.load()
    KEEP.extend((pickler, unpickler, pickler.memo, unpickler.memo, copyreg.dispatch_table))
    keep(pickle.PickleBuffer(bytearray(b"x")))


@part
def digests():
    import hashlib
    import hmac
    import zlib
    KEEP.extend((hashlib.sha256(b"x"), hashlib.md5(b"x"), hashlib.sha3_256(b"x"), hashlib.blake2b(b"x"), hashlib.blake2s(b"x"),
                 hashlib.shake_128(b"x"), hmac.new(b"k", b"m", "sha256"), zlib.compressobj(), zlib.decompressobj()))
    import bz2
    import lzma
    KEEP.extend((bz2.BZ2Compressor(), bz2.BZ2Decompressor(), lzma.LZMACompressor(), lzma.LZMADecompressor()))


@part
def annotations():
    import abc
    import dataclasses
    import enum
    import types
    import typing

    class Abstract(abc.ABC):
        @abc.abstractmethod
        def method(self):
            pass
    Abstract.register(int)
    isinstance(1, Abstract)

    class Colour(enum.Enum):
        RED = [1]
        BLUE = [2]

    class Flags(enum.IntFlag):
        A = 1
        B = 2

    @dataclasses.dataclass
    class Data:
        a: int
        b: typing.List[int] = dataclasses.field(default_factory=list)
    T = typing.TypeVar("T", bound=int)

    class Generic(typing.Generic[T]):
        pass

    class Protocol(typing.Protocol):
        x: int
    KEEP.extend((Abstract, Colour.RED, Flags.A | Flags.B, Data(1), T, Generic[int], Protocol, typing.Dict[str, int],
                 typing.Union[int, str], typing.Optional[T], typing.Callable[[int], T], typing.NewType("N", int),
                 typing.NamedTuple("NT", [("a", int)])(1), typing.TypedDict("TD", {"a": int}), typing.ForwardRef("x"),
                 types.SimpleNamespace(a=[1]), types.DynamicClassAttribute(len)))
    keep(types.GenericAlias(dict, (str, T)))
    keep(typing.ParamSpec("P").args)
    keep(int | str)
    keep(typing.TypeVarTuple("Ts"))
    exec("type Alias[K] = dict[K, int]\ndef generic[A, *B, **C](x: A) -> A: return x\nclass G[Z: int]: pass", globals())
    KEEP.extend((globals()["Alias"], globals()["generic"], globals()["G"]))


@part
def newcomers():
    keep(eval("ExceptionGroup('g', [ValueError(1), ExceptionGroup('h', [TypeError([2])])])"))
    keep(eval("(lambda: (yield))()"))
    keep(sys._getframe().f_locals)
    import _interpreters
    assert _interpreters


def main():
    def frames(n):
        local = [n]
        return frames(n - 1) if n else (sys._getframe(), local)
    keep(frames(100))

    def generator(n):
        local = [n]
        try:
            yield from range(n)
        finally:
            local.clear()
    g = generator(3)
    next(g)
    keep(g)


main()
print(*MISSING, sep="\n", file=sys.stderr)

# classes that died meanwhile are keys of weak dicts, which notice in their own time
import gc  # noqa: E402
gc.collect()
