# SPDX-License-Identifier: GPL-2.0-or-later
"""A program in which each of many kinds of holders has one object of its own, a Marker.
It prints `ready`, then as JSON the address of each and what evaluate.py's facts() says; stands still in one read() until it
gets a line, the name of a file with reports of `pyheap why`; evaluates their paths
(evaluate.py) into FILE.verdicts, and prints `done`."""
import abc
import asyncio
import atexit
import codecs
import collections
import contextvars
import dataclasses
import enum
import functools
import itertools
import json
import logging
import operator
import os
import sys
import threading
import types
import weakref

from evaluate import facts, paths

ADDRESS = {}


class Marker:
    def __init__(self, number):
        self.number = number

    def method(self):
        return self.number

    def __call__(self, *args):
        return args


def mark(kind, cls=Marker):
    if kind in ADDRESS:
        raise ValueError(kind)
    m = cls(len(ADDRESS))
    ADDRESS[kind] = id(m)
    return m


# ---- containers -------------------------------------------------------------------

module_global = mark("module global")
nested = {"by name": {"list": [0, {"deep": mark("nested dicts")}]}}
value_key = {"a key made at run time %d" % os.getpid(): mark("dict under a value key")}
integer_key = {17: mark("dict under an int"), -5: mark("dict under a negative int"), 1 << 70: mark("dict under a big int")}
tuple_key = {("a", 1): mark("dict under a tuple"), frozenset((1,)): mark("dict under a frozenset")}
float_key = {1.5: mark("dict under a float"), None: mark("dict under None"), b"x": mark("dict under bytes"),
             True: mark("dict under True")}
odd_key = {"it's": mark("dict under a quote"), "": mark("dict under an empty key"), "a b": mark("dict under two words"),
           "naïve": mark("dict under latin-1"), "λ]['": mark("dict under greek and brackets")}
as_key = {mark("dict key"): 1}
as_key_of_key = {(1, mark("in a key")): 2}
big_table = {"row %d" % i: i for i in range(300)}
big_table["row 7"] = mark("table")
a_list = [1, 2, mark("list"), [3, mark("list in list")]]
a_tuple = (1, (2, mark("tuple")))
a_set = {mark("set"), 5}
a_frozenset = frozenset((mark("frozenset"), 6))
a_deque = collections.deque(range(200))
a_deque.rotate(70)
a_deque.append(mark("deque, its end"))
a_deque.appendleft(mark("deque, its begin"))
a_deque[100] = mark("deque, its middle")
ordered = collections.OrderedDict((("x", 1), ("y", mark("OrderedDict")), (mark("OrderedDict key"), 2)))
default = collections.defaultdict(mark("default_factory"))
default["there"] = mark("defaultdict")
counter = collections.Counter({mark("Counter key"): 3})
chain_map = collections.ChainMap({}, {"c": mark("ChainMap")})
Named = collections.namedtuple("Named", "first second")
named = Named(0, mark("namedtuple"))
user_dict = collections.UserDict(x=mark("UserDict"))
proxy = types.MappingProxyType({"p": mark("mappingproxy")})
namespace = types.SimpleNamespace(attribute=mark("SimpleNamespace"), other=1)
views = [{"v": mark("dict values view")}.values(), {"k": mark("dict items view")}.items(), {mark("dict keys view"): 1}.keys()]
a_slice = slice(mark("slice"))


# ---- instances ---------------------------------------------------------------------

class Plain:
    pass


class Slots:
    __slots__ = ("one", "two", "__private", "__dict__x")


class MoreSlots(Slots):
    __slots__ = ("three", "one", "__weakref__")


class SlotsAndDict(MoreSlots):
    pass


class Deep0:
    def __init__(self):
        self.base_attribute = mark("attribute set by a base")


class Deep1(Deep0):
    pass


class Deep2(Deep1):
    __slots__ = ("slot_below",)


class Deep3(Deep2, Plain):
    def __init__(self):
        super().__init__()
        self.slot_below = mark("slot below a __dict__")
        self.own = mark("attribute of a deep class")


plain = Plain()
plain.attribute = mark("instance attribute")
with_dict = Plain()
with_dict.__dict__["in dict"] = mark("attribute that is no identifier")
with_dict.__dict__[5] = mark("attribute that is no str")
with_dict.attribute = mark("instance with a __dict__ made")
many = Plain()
for i in range(60):
    setattr(many, "a%d" % i, i)
many.a31 = mark("instance of many attributes")
removed = Plain()
removed.attribute = 1
removed.b = mark("instance after del")
del removed.attribute
slots = Slots()
slots.two = mark("slot")
slots._Slots__private = mark("private slot")
more_slots = MoreSlots()
more_slots.two = mark("slot of a base")
more_slots.three = mark("slot of a subclass")
more_slots.one = mark("slot that hides one")
Slots.one.__set__(more_slots, mark("slot that is hidden"))
slots_and_dict = SlotsAndDict()
slots_and_dict.two = mark("slot beside a __dict__")
slots_and_dict.free = mark("__dict__ beside slots")
deep = Deep3()


class List(list):
    pass


class Dict(dict):
    pass


class Tuple(tuple):
    pass


class Set(set):
    pass


class Int(int):
    pass


class Str(str):
    pass


class Deque(collections.deque):
    pass


class Ordered(collections.OrderedDict):
    pass


class Default(collections.defaultdict):
    __slots__ = ("slot",)


list_of_mine = List([1, mark("item of a list subclass")])
list_of_mine.attribute = mark("attribute of a list subclass")
dict_of_mine = Dict(k=mark("value of a dict subclass"))
dict_of_mine.attribute = mark("attribute of a dict subclass")
tuple_of_mine = Tuple((mark("item of a tuple subclass"),))
tuple_of_mine.attribute = mark("attribute of a tuple subclass")
set_of_mine = Set((mark("element of a set subclass"),))
set_of_mine.attribute = mark("attribute of a set subclass")
int_of_mine = Int(1 << 80)
int_of_mine.attribute = mark("attribute of an int subclass")
str_of_mine = Str("text")
str_of_mine.attribute = mark("attribute of a str subclass")
deque_of_mine = Deque([mark("item of a deque subclass")])
deque_of_mine.attribute = mark("attribute of a deque subclass")
ordered_of_mine = Ordered(k=mark("value of an OrderedDict subclass"))
ordered_of_mine.attribute = mark("attribute of an OrderedDict subclass")
default_of_mine = Default(None, k=mark("value of a defaultdict subclass"))
default_of_mine.slot = mark("slot of a defaultdict subclass")
exception_of_mine = KeyError(mark("argument of an exception"))
exception_of_mine.attribute = mark("attribute of an exception")


@dataclasses.dataclass
class Data:
    field: object
    default: object = mark("default of a dataclass", type("Frozen", (Marker,), {"__hash__": lambda self: 1}))
    made: object = dataclasses.field(default_factory=mark("default_factory of a dataclass"))


data = Data(mark("field of a dataclass"))


class Colour(enum.Enum):
    RED = mark("value of an enum")
    GREEN = 2


Colour.GREEN.extra = mark("attribute of an enum's member")


# ---- classes -----------------------------------------------------------------------------

class Descriptor:
    def __init__(self, held):
        self.held = held


class Meta(type):
    on_meta = mark("metaclass attribute")


class WithMeta(metaclass=Meta):
    on_class = mark("class attribute")
    nested = {"in": [mark("in a class attribute")]}
    descriptor = Descriptor(mark("descriptor"))

    class Inner:
        on_inner = mark("attribute of an inner class")

    def method(self, default=mark("default of a method"), *, keyword=mark("keyword default of a method")):
        return default, keyword

    @staticmethod
    def static(default=mark("default of a staticmethod")):
        return default

    @classmethod
    def of_class(cls, default=mark("default of a classmethod")):
        return default

    @property
    def prop(self, default=mark("default of a property's getter")):
        return default


WithMeta.raw_property = property(mark("fget"), mark("fset"), mark("fdel"), mark("property's doc"))
WithMeta.raw_static = staticmethod(mark("staticmethod of an object"))
WithMeta.raw_class = classmethod(mark("classmethod of an object"))
WithMeta.__annotations__ = {"x": mark("class annotation")}


class Abstract(abc.ABC):
    pass


class Registered:
    of_registered = mark("class registered with an ABC")


Abstract.register(Registered)
orphans = [type("Orphan", (Plain,), {"on_orphan": mark("class without a name")})]


class Cached:
    @functools.lru_cache(maxsize=None)
    def unbounded(self, x):
        return mark("result of an unbounded cached method") if x else None

    @functools.lru_cache(maxsize=8)
    def bounded(self, x):
        return mark("result of a bounded cached method") if x else None

    if hasattr(functools, "cached_property"):
        @functools.cached_property
        def once(self):
            return mark("cached_property")


@functools.lru_cache(maxsize=8)
def bounded(x):
    return mark("result of a bounded cache") if type(x) is int else None


@functools.lru_cache(maxsize=None)
def unbounded(x):
    return mark("result of an unbounded cache") if type(x) is int else None


bounded(1), unbounded(1)
bounded(mark("key of a bounded cache")), unbounded(mark("key of an unbounded cache"))
cached = Cached()
cached.bounded(1), cached.unbounded(1)
getattr(cached, "once", 0)


@functools.singledispatch
def dispatch(x):
    return x


@dispatch.register(Plain)
def dispatch_plain(x, default=mark("default of a singledispatch function")):
    return default


# ---- functions ------------------------------------------------------------------------------

def closure():
    first, captured = 0, mark("closure")
    inner_only = mark("closure of a closure")

    def inner():
        def innermost():
            return inner_only
        return first, captured, innermost
    return inner


closed = closure()


def own_cell():
    def itself():
        return itself, held
    held = mark("closure of a function that closes over itself")
    return itself


recursive = own_cell()


def defaults(a, b=mark("default"), *, c=mark("keyword default")):
    return a, b, c


def annotated(x: mark("annotation")):
    return x


def with_attributes():
    pass


with_attributes.attribute = mark("function attribute")
with_attributes.__doc__ = mark("function's __doc__")
with_attributes.__dict__["no identifier"] = mark("function attribute that is no identifier")
partial = functools.partial(defaults, mark("argument of a partial"), c=mark("keyword of a partial"))
partial.attribute = mark("attribute of a partial")
partial_method = functools.partialmethod(defaults, mark("argument of a partialmethod"))
bound = mark("bound method").method
bound_builtin = List([mark("self of a builtin method")]).append
wrapper = List([mark("self of a method-wrapper")]).__len__
a_lambda = lambda x=mark("default of a lambda"): x


def decorate(f):
    @functools.wraps(f)
    def wrapped(*args):
        return f(*args)
    wrapped.extra = mark("attribute of a decorated function")
    return wrapped


@decorate
def decorated(x=mark("default of a decorated function")):
    return x


# ---- frames --------------------------------------------------------------------------------------

def generate():
    local = mark("local of a generator")
    in_cell = mark("cell of a generator")
    yield
    yield local, (lambda: in_cell)


def delegate():
    mine = mark("local of a generator that delegates")
    yield from generate_inner()
    yield mine


def generate_inner():
    local = mark("local of an inner generator")
    for i in range(3):
        yield [
            i,
            local,
        ]


def fresh(x):
    yield x


suspended = generate()
next(suspended)
delegated = delegate()
next(delegated)
next(delegated)
not_started = fresh(mark("argument of a generator not started"))
expression = (x for x in [mark("iterable of a generator expression")])


@types.coroutine
def switch():
    yield


async def coroutine():
    local = mark("local of a coroutine")
    await switch()
    return local


async def awaits():
    local = mark("local of a coroutine that awaits")
    await coroutine_inner()
    return local


async def coroutine_inner():
    local = mark("local of an awaited coroutine")
    await switch()
    return local


async def async_generate():
    local = mark("local of an async generator")
    await switch()
    yield local


a_coroutine, awaiting = coroutine(), awaits()
a_coroutine.send(None)
awaiting.send(None)
async_generator = async_generate()
asend = async_generator.asend(None)
asend.send(None)


def fails(depth):
    local = mark("local of a traceback's frame, %d" % depth)
    if depth:
        fails(depth - 1)
    else:
        raise ValueError(
            depth)
    return local


def fails_twice():
    local = mark("local of a frame that raises again")
    try:
        raise KeyError(mark("argument of an exception's __context__"))
    except KeyError as e:
        raise ValueError(mark("argument of an exception with __cause__")) from e
    finally:
        local


def fails_within():
    try:
        raise KeyError(mark("argument of a __context__"))
    except KeyError:
        raise ValueError("again")


errors = []
for fail in (lambda: fails(2), fails_twice, fails_within):
    try:
        fail()
    except ValueError as e:
        errors.append(e)


def stop_iteration():
    return mark("value of a StopIteration")
    yield


try:
    next(stop_iteration())
except StopIteration as e:
    stopped_by = e
frame_holder = []


def keep_frame():
    local = mark("local of a kept frame")
    frame_holder.append(sys._getframe())
    return local is None


keep_frame()


# ---- iterators -----------------------------------------------------------------------------------

def iterator_of(i, steps=1):
    for _ in range(steps):
        next(i)
    return i


iterators = {
    "list": iter([mark("list iterator")]),
    "tuple": iter((mark("tuple iterator"),)),
    "dict": iter({"k": mark("dict iterator")}.items()),
    "set": iter({mark("set iterator")}),
    "deque": iter(collections.deque([mark("deque iterator")])),
    "reversed": reversed([mark("reversed list")]),
    "reversed tuple": reversed((mark("reversed tuple"),)),
    "callable": iter(mark("callable iterator"), None),
    "sentinel": iter(mark, mark("sentinel")),
    "map": map(mark("function of a map"), [mark("iterable of a map")]),
    "zip": iterator_of(zip([mark("zip"), 1])),
    "filter": filter(None, [mark("filter")]),
    "enumerate": enumerate([mark("enumerate")]),
    "chain": iterator_of(itertools.chain([1, mark("chain")], [mark("chain, second")])),
    "chain of": itertools.chain.from_iterable(iter([[mark("chain.from_iterable")]])),
    "cycle": iterator_of(itertools.cycle([mark("cycle"), 2])),
    "islice": itertools.islice([mark("islice")], 1),
    "repeat": itertools.repeat(mark("repeat")),
    "starmap": itertools.starmap(pow, [mark("starmap")]),
    "accumulate": iterator_of(itertools.accumulate([mark("accumulate"), 2])),
    "groupby": iterator_of(itertools.groupby([mark("groupby")])),
    "tee": itertools.tee(iter([mark("tee")])),
    "product": itertools.product([mark("product")]),
    "count": itertools.count(1.5),
    "takewhile": itertools.takewhile(mark("takewhile"), []),
    "zip_longest": itertools.zip_longest([], fillvalue=mark("zip_longest")),
    "sequence": iter(type("Sequence", (), {"__getitem__": None, "held": mark("class of a sequence iterator")})()),
}

# ---- weak references ---------------------------------------------------------------------------------

weakly = Plain()
weak = weakref.ref(weakly, mark("callback of a weakref"))
weak_proxy = weakref.proxy(weakly, functools.partial(print, mark("callback of a weak proxy")))
finalizer = weakref.finalize(weakly, print, mark("argument of a finalizer"))
weak_keys = weakref.WeakKeyDictionary({weakly: mark("WeakKeyDictionary")})
weak_values = weakref.WeakValueDictionary()
weak_values[mark("WeakValueDictionary key")] = weakly

# ---- the interpreter's and libraries' ----------------------------------------------------------------------

variable = contextvars.ContextVar("variable", default=mark("default of a context variable"))
token = variable.set(mark("context variable"))
context = contextvars.copy_context()
context.run(variable.set, mark("context variable of another context"))
per_thread = threading.local()
per_thread.attribute = mark("threading.local")


class PerThread(threading.local):
    pass


per_thread_of_mine = PerThread()
per_thread_of_mine.attribute = mark("threading.local subclass")
hidden = types.ModuleType("hidden")
hidden.inside = mark("module not in sys.modules")
logging.getLogger("holders").addHandler(logging.NullHandler())
logging.getLogger("holders").handlers[0].extra = mark("logging handler")
logging.getLogger("holders.below").addFilter(mark("logging filter"))
atexit.register(len, [mark("atexit argument")])


def error_handler(e, default=mark("codecs error handler")):
    return "", e.end


codecs.register_error("holders", error_handler)
del error_handler


def search(name, default=mark("codecs search function")):
    return None


codecs.register(search)
del search
sys.displayhook = functools.partial(sys.displayhook, mark("sys hook"))
loop = asyncio.new_event_loop()


async def task_body():
    local = mark("local of a task")
    await loop.create_future()
    return local


task = loop.create_task(task_body())
future = loop.create_future()
future.set_result(mark("result of a future"))
failed = loop.create_future()
failed.set_exception(ValueError(mark("exception of a future")))
waiting = loop.create_future()
waiting.add_done_callback(functools.partial(print, mark("callback of a future")))
loop.call_later(1000, print, mark("argument of a timer"))
loop.call_soon(loop.stop)
loop.run_forever()
loop.call_soon(print, mark("argument of a scheduled call"))
memory = memoryview(type("Buffer", (bytearray,), {})(b"x" * 100))
memory.obj.attribute = mark("attribute of a buffer")
super_object = super(Deep3, deep)
alias = List[int] if hasattr(list, "__class_getitem__") else None
if alias is not None:
    generic = list[mark("argument of a generic alias")]
try:
    import ctypes
    array = (ctypes.py_object * 3)()
    array[1] = mark("array of objects")
except ImportError:
    pass
getter = operator.itemgetter(mark("itemgetter"))

# ---- threads --------------------------------------------------------------------------------------------

READY = threading.Semaphore(0)
NEVER = threading.Lock()
NEVER.acquire()


def thread_body(argument):
    local = mark("local of a thread")
    in_cell = mark("cell of a running function")
    per_thread.attribute = mark("threading.local of another thread")

    def wait(what=mark("default of a running function")):
        variable_of_wait = [in_cell]
        READY.release()
        NEVER.acquire()
        return variable_of_wait
    try:
        raise KeyError(mark("exception being handled"))
    except KeyError:
        for each in [mark("iterated over")]:
            wait()
    return local, argument


threading.Thread(target=thread_body, args=(mark("argument of a thread"),), daemon=True).start()
READY.acquire()


def running_generator():
    local = mark("local of a running generator")
    yield stand_still()
    yield local


def answer(line):
    path = line.decode().strip()
    if not path:
        os._exit(0)
    with open(path) as f:
        reports = json.load(f)
    with open(path + ".verdicts", "w") as f:
        json.dump(paths(reports), f)
    os.write(1, b"done\n")


def stand_still():
    local = mark("local of a running function")
    sys.stdout.write("ready " + json.dumps({"markers": ADDRESS, **facts()}) + "\n")
    sys.stdout.flush()
    while True:
        answer(os.read(0, 4096))
    return local


del i, fail
next(running_generator())
