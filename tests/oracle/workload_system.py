# SPDX-License-Identifier: GPL-2.0-or-later
"""Like workload_stdlib.py: what belongs to files, sockets, threads, event loops,
databases, foreign functions, other interpreters and the system."""
import gc
import importlib
import os
import sys
import warnings

from parts import KEEP, keep, MISSING, optional, part, VERSION

warnings.simplefilter("ignore")


@part
def files():
    import io
    import mmap
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
    folder = tempfile.TemporaryDirectory()
    folder.cleanup()
    KEEP.extend((os.environ, tempfile.SpooledTemporaryFile(), folder))
    for base in (io.IOBase, io.RawIOBase, io.BufferedIOBase, io.TextIOBase):
        KEEP.extend((base.__mro__[1](), type("Sub" + base.__name__, (base,), {"a": [1]})()))
    wrapper = io.TextIOWrapper(io.BytesIO("h\u00e9\r\nb\n".encode()), encoding="utf-8", newline=None)
    wrapper.readline()
    used = io.BytesIO(b"exported")
    closed = io.BytesIO(b"closed")
    closed.close()
    detached = io.BufferedReader(io.BytesIO(b"x"))
    KEEP.extend((wrapper, used, used.getbuffer(), closed, detached, detached.detach(), next(os.scandir("/")).is_dir))
    import pathlib
    KEEP.extend((pathlib.Path("/a/b"), pathlib.PurePath("c")))
    import selectors
    import select
    KEEP.extend((selectors.DefaultSelector(), select.poll(), select.epoll()))


# of a key that nothing else uses, valid for a hundred years
CERTIFICATE = '''
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIPYcoqRuHWa6+QR+Buywnn48QiWJ53367gJmA6MnOS4toAoGCCqGSM49
AwEHoUQDQgAE1QCz5ol/faoV1VhfW/+9nJQgT+qI8a6jDjeu6uqq+BJ2U+O/DivE
dYLeMBVCovt43YfIxsxMMfVGVFHIKukDWw==
-----END EC PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBbjCCARWgAwIBAgIUQzWT/yi/JwXoa+DpJ9CR8CNBXYEwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBdDAgFw0yNjExMjAyMzM5MDJaGA8yMTI2MTAyNzIzMzkwMlow
DDEKMAgGA1UEAwwBdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNUAs+aJf32q
FdVYX1v/vZyUIE/qiPGuow43rurqqvgSdlPjvw4rxHWC3jAVQqL7eN2HyMbMTDH1
RlRRyCrpA1ujUzBRMB0GA1UdDgQWBBTjdq3OsfhgP/hP5PvicfCbMToY+zAfBgNV
HSMEGDAWgBTjdq3OsfhgP/hP5PvicfCbMToY+zAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0cAMEQCIHgDv3NWVHc6YQbwHLf45TUHrOOqLZXHnrrngNd/2o7c
AiAbgVCQEDx0HvKiJqYhPc20tD/jIAaYd2TwLbGeCAGDjQ==
-----END CERTIFICATE-----
'''


@part
def network():
    import socket
    import tempfile
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
    KEEP.extend((server, ssl._ssl._SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
    KEEP.extend((context.wrap_socket(socket.socket(), server_hostname="example.org", do_handshake_on_connect=False),
                 socket.getaddrinfo("127.0.0.1", 80), socket.socketpair(type=socket.SOCK_DGRAM), ssl.OPENSSL_VERSION_INFO,
                 context.get_ciphers(), a.makefile("rwb"), a.makefile("w")))
    # a connection that is set up
    with tempfile.NamedTemporaryFile("w") as f:
        f.write(CERTIFICATE)
        f.flush()
        server.load_cert_chain(f.name)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    for end in ends * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    ends[1].write(b"tickets come before this")
    ends[0].read(10)
    KEEP.extend((client, ends, ends[0].session, ends[0].getpeercert(True), ends[0].cipher()))
    if hasattr(ends[0]._sslobj, "get_unverified_chain"):
        keep(ends[0]._sslobj.get_unverified_chain())
    if hasattr(client, "set_psk_client_callback"):
        client.set_psk_client_callback(lambda hint: (None, b"key"))
        server.set_psk_server_callback(lambda identity: b"key")


@part
def databases():
    import sqlite3
    import tempfile
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    db.execute("create table t (a, b)")
    db.executemany("insert into t values (?, ?)", [(i, "row %d" % i) for i in range(100)])
    cursor = db.execute("select * from t")
    KEEP.extend((db, cursor, cursor.fetchone(), cursor.fetchmany(3), db.cursor()))
    db.set_trace_callback(lambda s: None)
    db.create_function("f", 1, lambda x: x)

    class Sum:
        def __init__(self):
            self.seen = []

        def step(self, x):
            self.seen.append(x)

        def finalize(self):
            return len(self.seen)
    db.create_aggregate("sum_up", 1, Sum)
    db.create_collation("reverse", lambda a, b: 0)
    db.set_authorizer(lambda *a: sqlite3.SQLITE_OK)
    db.set_progress_handler(lambda: 0, 1000)
    keep((db("select a from t"), db.execute("select b as 'x [y]' from t").description, sqlite3.PrepareProtocol()))

    class Connection(sqlite3.Connection):
        pass
    closed = sqlite3.connect(":memory:", factory=Connection, detect_types=sqlite3.PARSE_DECLTYPES)
    closed.close()
    keep(closed)
    if hasattr(db, "blobopen"):
        db.execute("insert into t values (1000, zeroblob(10))")
        blob = db.blobopen("t", "b", 101)
        blob.write(b"abc")
        keep(blob)
    if VERSION < (3, 10):
        cache = next(t for t in object.__subclasses__() if t.__module__ == "sqlite3" and t.__name__ == "Cache")(list, 5)
        cache.get("abc")
        keep(cache)
    for dbm in filter(None, (optional("_dbm"), optional("_gdbm"))):
        with tempfile.TemporaryDirectory() as folder:
            keep(dbm.open(os.path.join(folder, "made"), "n"))


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

    class Bits(ctypes.BigEndianStructure):
        _fields_ = [("a", ctypes.c_uint, 3), ("b", ctypes.c_uint, 5)]

    class Node(ctypes.Structure):
        pass
    Node._fields_ = [("next", ctypes.POINTER(Node)), ("array", ctypes.c_int * 4), ("function", ctypes.CFUNCTYPE(None)),
                     ("o", ctypes.py_object)]
    node = Node(o=[1])
    node.next = ctypes.pointer(node)
    node.function = ctypes.CFUNCTYPE(None)(lambda: None)
    pointers = (ctypes.POINTER(ctypes.c_int) * 3)()
    pointers[1] = ctypes.pointer(ctypes.c_int(7))
    libc = ctypes.CDLL(None)
    libc.strlen.argtypes = [ctypes.c_char_p]
    libc.strlen.errcheck = lambda result, function, arguments: result
    KEEP.extend((node, node.next, node.next[0], node.array, Bits(1, 2), Bits.a, pointers, pointers[1], libc.strlen,
                 libc.strlen(b"x"),
                 ctypes.c_wchar_p("wide"), ctypes.c_void_p(5), ctypes.create_unicode_buffer("abc"),
                 ctypes.cast(ctypes.pointer(p), ctypes.c_void_p),
                 ctypes.c_int.from_buffer(bytearray(8)), ctypes.c_char.from_param(b"x"),
                 ctypes.PYFUNCTYPE(ctypes.py_object)(list),
                 ctypes.c_longdouble(1.5), ctypes.c_bool(True), type("Int", (ctypes.c_int,), {})(5), memoryview(Bits())))
    for base in (ctypes.Structure, ctypes.Union):
        keep(type("Empty" + base.__name__, (base,), {"_fields_": []})())


class Hashed(str):
    def __hash__(self):
        return int(self)


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
                 threading.Timer(1, print), queue.Queue(), queue.PriorityQueue(), queue.LifoQueue(), variable, token,
                 context,
                 iter(context), context.items(), iter(context.values())))
    simple = queue.SimpleQueue()
    for i in range(20):
        simple.put([i])
    keep(simple)
    import _thread
    KEEP.extend((_thread._local(), threading.ExceptHookArgs((ValueError, None, None, None)), threading.Thread(target=print),
                 _thread.allocate_lock(), threading._PyRLock(), queue._PySimpleQueue()))
    rlock.acquire()
    lock.acquire()

    class Local(threading.local):
        def __init__(self, x):
            self.x = [x]
    keep(Local(5))
    variable.reset(token)
    empty = contextvars.Context()
    KEEP.extend((empty, empty.run(contextvars.copy_context), contextvars.ContextVar("unset")))
    # two variables of the same hash: the second takes the memory of one that had another; an
    # allocator may hand that out last, or not for long
    first, others = contextvars.ContextVar(Hashed("0")), []
    for n in range(100000):
        if n % 1000 == 0:
            second = contextvars.ContextVar(Hashed("0"))
            name = Hashed(str(hash(first) ^ hash(second)))
            del second
        second = contextvars.ContextVar(name)
        if hash(second) == hash(first):
            break
        others.append(second)
    else:
        raise RuntimeError("no two context variables collide")
    del others
    collision = contextvars.Context()
    collision.run(first.set, [1])
    collision.run(second.set, [2])
    keep(collision)
    # the dict of the thread state holds the list of what repr() is in, which makes gc see it
    repr([[]])
    import multiprocessing
    semaphore = importlib.import_module("_multiprocessing").SemLock(0, 1, 1, "/pyheap-%d" % os.getpid(), True)
    keep((semaphore, multiprocessing.current_process()))
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

    async def nested(n):
        return await nested(n - 1) if n else await future

    async def produce():
        for i in range(3):
            yield [i]
            await asyncio.sleep(1000)

    async def consume(items):
        async with asyncio.Lock():
            async for i in produce():
                items.append(i)

    async def fail():
        raise KeyError([1])
    late = [loop.create_task(c) for c in (nested(50), consume([]), asyncio.wait_for(sleeper(5), 10**6), fail())]
    late.append(asyncio.gather(*late[:2], sleeper(7), return_exceptions=True) if VERSION < (3,
    10) else asyncio.ensure_future(
        asyncio.wait([late[0]]), loop=loop))
    late.append(asyncio.ensure_future(asyncio.shield(late[0]) if VERSION < (3, 10) else future, loop=loop))
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    KEEP.extend((late, loop.create_task(sleeper(10))))
    keep(late[3].exception())
    many = loop.create_future()
    for i in range(5):
        many.add_done_callback([i].append)

    class Future(asyncio.Future):
        __slots__ = ("x",)
    KEEP.extend((many, Future(loop=loop), type("Task", (asyncio.Task,), {})(sleeper(11), loop=loop)))
    if hasattr(asyncio, "TaskGroup"):
        KEEP.extend((asyncio.TaskGroup(), asyncio.Timeout(None), asyncio.Runner(), asyncio.Barrier(2)))
    # 3.12 shows gc its free iterators, too, which get_referents() would free once more
    gc.collect()
    keep([future.__await__() for _ in range(256)])


@part
def system():
    """Records of the system, and modules that have a type or two."""
    import grp
    import pwd
    import resource
    import signal
    for name in ("os", "time", "sys", "threading", "grp", "pwd", "spwd", "resource", "signal", "select", "_curses",
    "_lsprof",
                 "_remote_debugging", "_interpchannels"):
        optional(name)
    todo = [tuple]
    for t in todo:
        todo.extend(type.__subclasses__(t))
        if hasattr(t, "n_sequence_fields") and "__new__" in t.__dict__:
            keep(t([[i] for i in range(t.n_fields)]))
    if hasattr(os, "statx"):
        keep(os.statx("/", os.STATX_BASIC_STATS))
    KEEP.extend((os.statvfs("/"), os.uname(), pwd.getpwuid(0), grp.getgrgid(0), signal.struct_siginfo(range(7)),
                 resource.getrusage(resource.RUSAGE_SELF), sys.get_asyncgen_hooks()))
    import cProfile
    profile = cProfile.Profile()
    profile.enable()
    (lambda: len(sorted("abc", key=str.lower)))()
    profile.disable()
    KEEP.extend((profile, importlib.import_module("_lsprof").Profiler(), [e for e in profile.getstats() if e.calls]))
    import linecache
    import traceback
    import tracemalloc
    KEEP.extend((linecache.cache, traceback.TracebackException(KeyError, KeyError([1]), None),
                 tracemalloc.Filter(True, "x")))
    parser = optional("parser")
    if parser:
        keep(parser.expr("1 + 1"))


@part
def interpreters():
    old = optional("_xxsubinterpreters")
    if old:
        keep(old.get_current())
    channels = optional("_interpchannels") or optional("_xxinterpchannels") or old
    create = getattr(channels, "create", None) if channels is not old else channels.channel_create
    keep(create(*[3] * (VERSION >= (3, 13))))
    if hasattr(channels, "get_info"):
        keep(channels.get_info(KEEP[-1]))
    queues = optional("_interpreters") and optional("_interpqueues")
    if queues:
        # what has come from another interpreter
        more = [0, 3] if VERSION < (3, 14) else []
        q = queues.create(2, *more)
        queues.put(q, memoryview(b"xyz"), *more)
        keep(queues.get(q)[0])
    remote = optional("_remote_debugging")
    if remote:
        keep(remote.RemoteUnwinder(os.getpid()))
    if hasattr(remote, "GCMonitor"):
        keep(remote.GCMonitor(os.getpid()))
    if hasattr(remote, "BinaryWriter"):
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "samples")
            writer = remote.BinaryWriter(path, 1000, 0)
            writer.finalize()
            KEEP.extend((writer, remote.BinaryWriter(path + "2", 1000, 0), remote.BinaryReader(path)))


def screen(curses, panels):
    if curses:
        importlib.import_module("curses")       # makes the record of the version
        out, null = os.dup(1), os.open(os.devnull, os.O_RDWR)
        try:
            curses.setupterm("linux", null)
        except curses.error as error:           # no description of any terminal is installed
            MISSING.append(str(error))
            return
        os.dup2(null, 1)
        window = curses.initscr()
        os.dup2(out, 1)
        KEEP.extend((window, curses.newpad(3, 3), window.subwin(2, 2, 0, 0)))
        if panels:
            panel = panels.new_panel(window)
            panel.set_userptr([1])
            keep(panel)


@part
def screens():
    """Windows of which nothing is ever shown; Tcl without Tk."""
    curses, panels, tk = optional("_curses"), optional("_curses_panel"), optional("_tkinter")
    screen(curses, panels)
    if tk:
        try:
            app = tk.create(None, "name", "Class", False, 1, False, False, None)
        except tk.TclError as error:    # its scripts are not installed
            MISSING.append(str(error))
            return
        app.createcommand("command", print)
        KEEP.extend((app, app.createtimerhandler(10**7, print), app.call("dict", "create", "a", "b")))


print(*MISSING, sep="\n", file=sys.stderr)

# classes that died meanwhile are keys of weak dicts, which notice in their own time
gc.collect()
