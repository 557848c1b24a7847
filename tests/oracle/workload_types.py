# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects of the language itself, in the forms that workload_basic.py has not: strings of each
kind, long chains of suspended generators, all exceptions, what annotations are made of, and
the newcomers of each version. workload_classes.py has classes and dicts."""
import abc
import collections
import ctypes
import dataclasses
import datetime
import enum
import functools
import gc
import io
import sys
import types
import typing

from parts import KEEP, keep, Key, nothing, part, Text, VERSION


def execute(since, code):
    """Runs code whose syntax is as new as `since`, and keeps what it has named in upper case
    or put into KEEP."""
    if VERSION >= since:
        names = {"KEEP": KEEP, "keep": keep, "__name__": "executed"}
        exec(code, names)
        keep(names)


# ---- texts, numbers, interning -------------------------------------------------------------

@part
def texts():
    utf8 = ctypes.pythonapi.PyUnicode_AsUTF8
    utf8.argtypes, utf8.restype = [ctypes.py_object], ctypes.c_char_p
    for piece in ("a", "\x7f", "\x80", "\u00e9", "\u0100", "\uffff", "\U00010000", "\U0010ffff"):
        for size in (1, 2, 7, 8, 15, 16, 17, 100, 1000):
            for s in (piece * size, "x" * size + piece, piece + "x" * size):
                for made in ("".join(list(s)), Text(s)):
                    keep(made)
                    cached = "".join(list(s))
                    utf8(cached)
                    KEEP.extend((cached, type(made)(cached)))
                    utf8(KEEP[-1])
        keep(sys.intern(piece + "interned by types"))
        KEEP.extend((piece, iter(piece * 3), piece.encode("utf-8"), iter(piece)))
        next(KEEP[-1])
    if VERSION < (3, 12):
        # the representations that went with PEP 623
        wide = ctypes.pythonapi.PyUnicode_AsUnicode
        wide.argtypes, wide.restype = [ctypes.py_object], ctypes.c_void_p
        for s in ("ascii", "latin\u00e9", "\u0100wide", "\U0001F600wider"):
            for made in ("".join(list(s)), Text(s)):
                wide(made)
                keep(made)
        raw = ctypes.pythonapi.PyUnicode_FromUnicode
        raw.argtypes, raw.restype = [ctypes.c_void_p, ctypes.c_ssize_t], ctypes.py_object
        for characters in ("waiting", "\u00e9t\u00e9", "\u0100", "\U0001F600", "ready", "\u00e9ready", "\u0100ready",
                           "\U0001F600ready"):
            made = raw(None, len(characters))
            ctypes.memmove(wide(made), characters, 4 * len(characters))
            if "ready" in characters:
                hash(made)
            keep(made)
    name = "%s_made" % "attribute"
    setattr(Key, name, [1])             # interned by what it became
    KEEP.extend((name, sys.intern("x" * 5000), "".join(["a", ""]), chr(200), chr(255), b"a", bytes([200])))
    for bits in (*range(28, 34), *range(58, 66), 89, 90, 91, 120, 1000, 30000):
        KEEP.extend((1 << bits, (1 << bits) - 1, -(1 << bits), 1 - (1 << bits)))
    KEEP.extend((0.0, -0.0, float("nan"), float("inf"), 1j, complex("nan"), True, False, int(True), 10**5000))
    sizes = [bytearray(n) for n in (0, 1, 2, 100)] + [bytes(n) for n in (0, 1, 2, 100)]
    for o in sizes[:4]:
        o.append(1)
        del o[:1]
    exported = bytearray(b"exported")
    KEEP.extend((sizes, exported, memoryview(exported), memoryview(exported)[::2], memoryview(b"abcdefgh").cast("H"),
                 memoryview(memoryview(b"nested")), memoryview((ctypes.c_int * 3)()), memoryview(b"x" * 24).cast("B",
                 (2, 3, 4)),
                 memoryview(b"x").toreadonly(), iter(memoryview(exported)), range(3), range(0), iter(range(0, 10, 3)),
                 reversed(range(5)), reversed(range(1 << 70)), slice([1]), slice(1, 1 << 70, "x")))


# ---- what runs: suspended chains, deep stacks -------------------------------------------------

@part
def suspended():
    def deep(n):
        here = [n]
        if n:
            yield from deep(n - 1)
        else:
            yield here

    def plain(n):
        here = [n]
        return (plain(n - 1) if n else sys._getframe()), here

    def over_frames(n):
        """Suspended with 200 frames that have returned, and a traceback of as many."""
        here = plain(n)
        try:
            raising(n)
        except KeyError as error:
            yield here, error, error.__traceback__

    def raising(n):
        here = [n]
        if not n:
            raise KeyError(here)
        raising(n - 1)

    class Step:
        def __await__(self):
            yield [1]

    class Steps:
        def __init__(self):
            self.n = [0]

        def __aiter__(self):
            return self

        async def __anext__(self):
            await Step()
            return self.n

        async def __aenter__(self):
            await Step()

        async def __aexit__(self, *args):
            await Step()

    async def awaiting(n):
        here = [n]
        if n:
            return await awaiting(n - 1)
        await Step()
        return here

    async def producing(n):
        here = [n]
        if n:
            async for x in producing(n - 1):
                yield x, here
        else:
            await Step()
            yield here

    async def with_all():
        async with Steps() as s:
            async for i in Steps():
                yield s, [x async for x in Steps()]

    @types.coroutine
    def old_style(n):
        yield [n]
        return n

    def stack(n):
        """Values on the stack of the frame while it is suspended."""
        for i in [[1], [2]]:
            for k, v in {"a": [1], "b": [2]}.items():
                with io.StringIO("x") as f:
                    try:
                        raise KeyError([n])
                    except KeyError as error:
                        x = (n, [n], (yield f"{n}"), {"k": (yield error)})
                    finally:
                        yield [i, k, v, f, x, n, *((yield [n]) or ())]

    def captures(a, *args, k=(1,), **kw):
        def inner():
            nonlocal a
            a = [a]
            yield a, args, k, kw, inner
        return inner()

    for depth in (0, 1, 50, 200):
        for g in (deep(depth), over_frames(depth), captures([depth], 1, [2], z=[3])):
            next(g)
            keep(g)
        c = awaiting(depth)
        c.send(None)
        a = producing(depth)
        step = a.asend(None)
        step.send(None)
        KEEP.extend((c, c.cr_await, a, a.ag_await, a.ag_frame, step, awaiting(depth), producing(depth)))
    a = with_all()
    step = a.__anext__()
    step.send(None)
    KEEP.extend((a, step, old_style(5), a.aclose(), a.athrow(KeyError([1]))))
    for steps in range(1, 7):
        g = stack(steps)
        for _ in range(steps):
            next(g)
        KEEP.extend((g, g.gi_frame, g.gi_frame.f_locals))
    for kind in (lambda: (yield), lambda: ([x] for x in [[1]]), lambda: (([y] for y in [x]) for x in [[2]])):
        g = kind()
        KEEP.extend((g, next(g)))
    finished = awaiting(1)
    for _ in range(2):
        try:
            finished.send(None)
        except StopIteration as e:
            keep(e)
    thrown = deep(100)
    next(thrown)
    try:
        thrown.throw(KeyError([1]))
    except KeyError as e:
        KEEP.extend((thrown, e))
    closed = awaiting(3)
    closed.close()
    KEEP.extend((finished, closed, awaiting(2).__await__()))
    sys.set_coroutine_origin_tracking_depth(5)
    keep(awaiting(1))
    sys.set_coroutine_origin_tracking_depth(0)
    if VERSION >= (3, 10):
        waiter = anext(producing(1), [1])                       # noqa: F821
        keep(waiter)
        waiting = anext(producing(1), [2])                      # noqa: F821
        waiting.send(None)
        KEEP.extend((waiting, aiter(producing(3))))             # noqa: F821
    if VERSION >= (3, 11):
        code = stack.__code__
        KEEP.extend((code.co_lines(), code.co_positions()))
        for i in KEEP[-2:]:
            next(i)
    elif VERSION >= (3, 10):
        keep(stack.__code__.co_lines())


# ---- exceptions ----------------------------------------------------------------------------------

@part
def exceptions():
    special = {UnicodeDecodeError: ("utf-8", b"x", 0, 1, "r"), UnicodeEncodeError: ("utf-8", "x", 0, 1, "r"),
               UnicodeTranslateError: ("x", 0, 1, "r")}
    if VERSION >= (3, 11):
        special[BaseExceptionGroup] = special[ExceptionGroup] = ("g", [ValueError([1])])        # noqa: F821
    todo = [BaseException]
    for cls in todo:
        todo.extend(cls.__subclasses__())
        if cls.__module__ in ("builtins", "ssl", "socket", "concurrent.interpreters", "interpreters", "_interpreters",
        "zlib"):
            bare = cls(*special.get(cls, ()))
            e = cls(*special.get(cls, ([1], "text")))
            e.__cause__, e.attribute = KeyError([2]), [3]
            if hasattr(e, "add_note"):
                e.add_note("note")
            KEEP.extend((bare, e))
    for code in ("[].no", "no_such_name", "import os.nothing", "from os import nothing", "{}['k']", "int('x')",
    "''.join([1])",
                 "raise SystemExit([1])", "raise OSError(2, 'x', 'a', None, 'b')", "open('/nonexistent/file')",
                 "next(iter([]))",
                 "b'\\xff'.decode()", "'\\ud800'.encode()", "def f():\n return x\n x = 1\nf()", "a b", "1 / 0", "exit([2])",
                 "raise KeyError([1]) from ValueError([2])", "assert 0, [1]"):
        try:
            exec(code, {"exit": sys.exit})
        except BaseException as e:
            KEEP.extend((e, e.__traceback__, e.__traceback__.tb_frame))
    execute((3, 11), """
try:
    try:
        raise ExceptionGroup("g", [ValueError([1]), TypeError([2]), ExceptionGroup("h", [OSError(2, "x"), KeyError("k")])])
    except* ValueError as caught:
        keep(caught)
        raise KeyError([3])
except BaseExceptionGroup as group:
    KEEP.extend((group, BaseExceptionGroup('b', [KeyboardInterrupt()]), group.split(KeyError),
                 group.subgroup(lambda e: False), group.derive([ValueError()])))
""")


# ---- annotations ------------------------------------------------------------------------------------

@part
def annotations():
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

    @dataclasses.dataclass(frozen=True, **({"slots": True, "kw_only": True} if VERSION >= (3, 10) else {}))
    class Frozen:
        a: int
    T = typing.TypeVar("T", bound=int)
    U = typing.TypeVar("U", int, "Forward", covariant=True)

    class Generic(typing.Generic[T]):
        pass

    class Protocol(typing.Protocol):
        x: int

    @typing.runtime_checkable
    class Checkable(typing.Protocol):
        def method(self) -> int:
            pass
    isinstance([], Checkable)
    KEEP.extend((Abstract, Colour.RED, Flags.A | Flags.B, Data(1), Frozen(a=1), T, U, Generic[int], Generic[T],
                 Generic(), Protocol,
                 typing.Dict[str, int], typing.Union[int, str], typing.Optional[T], typing.Callable[[int], T],
                 typing.NewType("N", int),
                 typing.NamedTuple("NT", [("a", int)])(1), typing.TypedDict("TD", {"a": int}), typing.ForwardRef("x"),
                 types.SimpleNamespace(a=[1]), types.DynamicClassAttribute(len), typing.Literal[1, "a"], typing.Final[int],
                 typing.ClassVar[int], typing.Tuple[int, ...], typing.Any, typing.NoReturn, object.__new__(typing.Generic)))
    if hasattr(types, "GenericAlias"):
        KEEP.extend((types.GenericAlias(dict, (str, T)), list[T], dict[str, T][int], list[int].__parameters__, tuple[()],
                     collections.deque[int], type[int], typing.Annotated[int, [1]]))
    if VERSION >= (3, 10):
        P = typing.ParamSpec("P")
        KEEP.extend((P.args, P.kwargs, int | str, list[int] | None, T | None, typing.Concatenate[int, P],
                     typing.TypeGuard[int],
                     typing.Callable[P, T], types.NoneType, types.EllipsisType))
    if VERSION >= (3, 11):
        Ts = typing.TypeVarTuple("Ts")
        KEEP.extend((Ts, typing.Unpack[Ts], iter(Ts), iter(list[int]), next(iter(tuple[int, ...])), typing.Self,
                     typing.Required[int]))
    execute((3, 12), """
import typing
type Alias[K] = dict[K, int]
type Recursive = list[Recursive]
def generic[A: int, *B, **C](x: A, *y: *B) -> A: return x
def constrained[D: (int, str)](x: D) -> D: return x
class G[Z: int]:
    type Inner = Z
    def method[Y](self) -> Y: pass
KEEP.extend((G(), G[int], Alias[str], Alias.__type_params__, generic.__type_params__, typing.get_type_hints(generic)))
lazy = G.__type_params__[0]             # not evaluated
evaluated = constrained.__type_params__[0].__constraints__, Recursive.__value__
class Exports:
    def __buffer__(self, flags): return memoryview(b"exported")
    def __release_buffer__(self, view): pass
exports = memoryview(Exports())
keep([x for x in [[1]]])
""")
    execute((3, 13), "def defaulted[A = int, *B = *tuple[int], **C = [int]](): pass\nkeep(defaulted.__type_params__)\n"
                     "keep(defaulted.__type_params__[0].__default__)")


# ---- newcomers ----------------------------------------------------------------------------------------

@part
def newcomers():
    execute((3, 8), "def positional(a, b=[1], /, c=[2], *, d=[3]): return (y := a)\nkeep(positional(1))")
    execute((3, 10), "match {'a': [1, [2]]}:\n  case {'a': [x, *rest], **more}: keep((x, rest, more))")
    execute((3, 13), """
import sys
def proxied(a):
    b = [a]
    def inner(): return b
    return sys._getframe().f_locals, sys._getframe(), inner
proxy, frame, inner = proxied([1])
proxy["extra"] = [2]
KEEP.extend((proxy, frame, inner, reversed(proxy), proxy.keys(), frame.f_locals))
""")
    execute((3, 14), """
import annotationlib, typing
class Annotated:
    a: int
    b: undefined
    c: list[undefined.attribute]
def annotated(a: int, b: undefined) -> "text": pass
keep(annotationlib.get_annotations(annotated, format=annotationlib.Format.FORWARDREF))
keep(annotationlib.get_annotations(Annotated, format=annotationlib.Format.FORWARDREF))
keep(annotationlib.get_annotations(Annotated, format=annotationlib.Format.STRING))
def evaluated(a: int): pass
KEEP.extend((evaluated.__annotations__, annotated.__annotate__, Annotated.__annotate__, annotationlib.ForwardRef("x",
             owner=Annotated)))
T = typing.TypeVar("T", bound=int, default=str)
KEEP.extend((T, T.evaluate_bound, T.evaluate_default, int | str, typing.Union[int, "x"], memoryview[int]))
x = [1]
KEEP.extend((t"{x}", t"a{x!r:{x}}b", t"", [*t"{x}{x}"], iter(t"{x} {x}"), t"{x}".interpolations[0]))
def finals():
    try: yield [1]
    except ValueError, TypeError: pass
keep(finals())
""")
    execute((3, 15), """
lazy import colorsys
lazy import json.tool
lazy from bisect import insort as resolved, bisect
resolved
KEEP.extend((frozendict(), frozendict(a=[1]), frozendict({1: [2], (3,): 4}), frozendict({"k%d" % i: i for i in range(100)})))
f = frozendict({"a": 1, "b": (2,)})
hash(f)
KEEP.extend((f, f | {"c": [3]}, f.copy(), f.keys(), f.items(), iter(f), iter(f.values()), reversed(f), {f: [1]},
             frozendict(f),
             frozendict.fromkeys("abc", [1])))
KEEP.extend((sentinel("MISSING"), sentinel("\\u0100"), sentinel("A") | int))
keep(__lazy_import__("sched"))
keep([*x for x in [[1], [2]]])
keep({**d for d in [{"a": [1]}, {1: [2]}]})
import sys
keep(sys.lazy_modules)
""")


# ---- what only C code makes -------------------------------------------------------------------------------

@part
def of_c():
    api = ctypes.pythonapi
    method, printer, definition = api.PyInstanceMethod_New, api.PyFile_NewStdPrinter, api.PyModuleDef_Init
    method.argtypes, method.restype, printer.restype = [ctypes.py_object], ctypes.py_object, ctypes.py_object
    definition.restype = ctypes.c_void_p
    buffer = ctypes.create_string_buffer(200)
    definition(buffer)
    capsule = api.PyCapsule_New
    capsule.argtypes, capsule.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p], ctypes.py_object
    KEEP.extend((buffer, method(nothing), printer(2), ctypes.cast(buffer, ctypes.py_object).value, capsule(id(KEEP),
                 None, None),
                 datetime.datetime_CAPI, types.MemberDescriptorType, functools.partial.__dict__["__dict__"]))


# classes that died meanwhile are keys of weak dicts, which notice in their own time
gc.collect()
