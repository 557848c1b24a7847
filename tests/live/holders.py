# SPDX-License-Identifier: GPL-2.0-or-later
"""A target in which each Marker hangs on something else. It says "ready", then answers: each
line it is sent names a file of paths, which it evaluates; the answer is a file of its own."""
import array
import asyncio
import collections
import contextvars
import enum
import functools
import gc
import itertools
import json
import logging
import sys
import threading
import types
import weakref

gc.disable()
MARKERS = []


class Marker:
    def __init__(self, where):
        MARKERS.append((where, id(self)))


class Plain:
    pass


class Slots:
    __slots__ = ("a", "b", "__weakref__")


class SubSlots(Slots):
    __slots__ = ("c",)


class Mixed(Slots):
    pass


class MyList(list):
    pass


class MyDict(dict):
    pass


class Meta(type):
    pass


class WithMeta(metaclass=Meta):
    attribute = Marker("class attribute of a class with a metaclass")


class Service:
    registry = {}

    @functools.lru_cache(maxsize=None)
    def method(self, x):
        return [x]

    @property
    def prop(self):
        return self._prop

    @classmethod
    def make(cls):
        return cls()


class Colour(enum.Enum):
    RED = Marker("enum value")


plain = Marker("module global")
config = {"users": [Marker("list in a dict"), (Marker("tuple in that"),)], "deep": {"er": {"yet": Marker("dicts")}}}
by_key = {("a", 1): Marker("under a tuple"), 17: Marker("under an int"), "k%d" % 5: Marker("under a made key")}
as_key = {Marker("a key"): 1}
a_set = {Marker("in a set")}
a_frozenset = frozenset([Marker("in a frozenset")])
a_deque = collections.deque([1, Marker("in a deque")])
an_odict = collections.OrderedDict(one=Marker("in an OrderedDict"))
a_default = collections.defaultdict(list, {"x": Marker("in a defaultdict")})
a_default["y"].append(Marker("in a list of a defaultdict"))
a_counter = collections.Counter()
instance = Plain()
instance.attribute = Marker("attribute")
instance.child = Plain()
instance.child.grandchild = Plain()
instance.child.grandchild.leaf = Marker("three attributes down")
with_dict = Plain()
with_dict.x = Marker("attribute of an instance whose dict was made")
with_dict.__dict__["a b"] = Marker("attribute that is no identifier")
slots = Slots()
slots.a = Marker("slot")
sub = SubSlots()
sub.b, sub.c = Marker("inherited slot"), Marker("own slot")
mixed = Mixed()
mixed.a, mixed.z = Marker("slot beside a dict"), Marker("dict beside a slot")
my_list = MyList([Marker("in a list's subclass")])
my_list.extra = Marker("attribute of a list's subclass")
my_dict = MyDict(k=Marker("in a dict's subclass"))
my_dict.extra = Marker("attribute of a dict's subclass")
Service.registry["main"] = Marker("class attribute")
service = Service()
service._prop = Marker("behind a property")
service.bound = Service.make().method


def defaults(x=Marker("default argument"), *, y=Marker("keyword default")):
    return x, y


def closure():
    hidden = Marker("in a closure")
    other = 5

    def inner():
        return hidden, other
    return inner


inner = closure()
defaults.attribute = Marker("attribute of a function")
a_partial = functools.partial(defaults, Marker("in a partial"), y=Marker("keyword of a partial"))


@functools.lru_cache(maxsize=2)
def cached(x):
    return x


cached_key = Marker("key of an lru_cache")
cached((cached_key, 1))
del cached_key
service.method(1)


def generator():
    held = Marker("local of a generator")
    yield held
    yield 1


a_generator = generator()
next(a_generator)


async def coroutine(waiter):
    held = Marker("local of a coroutine")
    await waiter
    return held


loop = asyncio.new_event_loop()
waiter = loop.create_future()
task = loop.create_task(coroutine(waiter))
loop.run_until_complete(asyncio.sleep(0))


async def nested():
    await coroutine(waiter)


second = loop.create_task(nested())
loop.run_until_complete(asyncio.sleep(0))
lost = coroutine(waiter)
errors = []


def raising():
    local = Marker("local of a traceback's frame")
    raise ValueError(local and Marker("argument of an exception"))


try:
    raising()
except ValueError as error:
    errors.append(error)
    try:
        raise KeyError from error
    except KeyError as other:
        errors.append(other)
method = instance.child.__class__.__init__ and Service().make
bound = Marker("bound").__init__
variable = contextvars.ContextVar("variable")
variable.set(Marker("context variable"))
local = threading.local()
local.x = Marker("thread-local")
namespace = types.SimpleNamespace(a=Marker("in a SimpleNamespace"))
chained = itertools.chain([Marker("in a chain")], [2])
mapped = map(defaults, [Marker("in a map")])
zipped = zip([Marker("in a zip")], [2])
iterator = iter([Marker("in an iterator")])
enumerated = enumerate([Marker("in an enumerate")])
view = {"v": Marker("in a view")}.values()
proxy = types.MappingProxyType({"p": Marker("in a proxy")})
handler = logging.Handler()
handler.extra = Marker("attribute of a logging handler")
logging.getLogger("some.logger").addHandler(handler)
anonymous = types.ModuleType("anonymous")
anonymous.value = Marker("in a module that is not in sys.modules")
extra = types.ModuleType("extra")
extra.value = Marker("in a module")
sys.modules["extra.module"] = extra
nested_containers = [[[Marker("three lists")]], {"t": ({"u": [Marker("mixed containers")]},)}]
a_slice = slice(Marker("in a slice"), None)
static = staticmethod(defaults)
a_property = property(functools.partial(int, Marker("in a property")))
target = Plain()
weak = weakref.ref(target, functools.partial(int, Marker("of a weak reference's callback")))
head = None
for _ in range(300):
    node = Plain()
    node.next, node.value = head, Marker("linked list") if _ % 100 == 0 else None
    head = node
del node


def worker(barrier, lock):
    own = Marker("local of a thread")
    table = {"k": [Marker("in a local of a thread")]}
    barrier.wait()
    with lock:
        return own, table


lock = threading.Lock()
lock.acquire()
barrier = threading.Barrier(2)
threading.Thread(target=worker, args=(barrier, lock), daemon=True).start()
barrier.wait()

# ---- evaluating ------------------------------------------------------------------------------


def namespace_of(obj):
    if isinstance(obj, type):
        return type.__dict__["__dict__"].__get__(obj)
    try:
        return object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}


def attribute(obj, name):
    """As it is stored: nothing of the program's own code runs."""
    own = namespace_of(obj)
    if name in own:
        return own[name]
    for cls in type(obj).__mro__:
        found = type.__dict__["__dict__"].__get__(cls).get(name)
        if isinstance(found, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            return found.__get__(obj)
    raise LookupError(name)


def locals_of(obj):
    for name in ("gi_frame", "cr_frame", "ag_frame"):
        if hasattr(obj, name):
            obj = getattr(obj, name)
            break
    return obj


def step(obj, via, key, address):
    """The next object by what `via` says, or None where Python has no way to say it."""
    if via == ".__dict__":
        return namespace_of(obj)
    if via.startswith(".__dict__["):
        return namespace_of(obj)[via[11:-2]]
    if via.startswith("."):
        return attribute(obj, via[1:])
    if via.startswith("[") and isinstance(obj, dict):
        return next(v for k, v in dict.items(obj) if id(k) == key)
    if via.startswith("["):
        return obj[int(via[1:-1])]
    if via.startswith("<key"):
        return next(k for k in dict.keys(obj) if id(k) == address)
    if via == "<element>":
        return next(e for e in obj if id(e) == address)
    if via.startswith("<referent "):
        return gc.get_referents(obj)[int(via[10:-1])]
    words = via.split(" ")
    if words[0] == "local":
        frame = locals_of(obj)
        where = via.split(" in ", 1)[1]
        name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
        place = "%s (%s:%d)" % (name, frame.f_code.co_filename.rsplit("/", 1)[-1], frame.f_lineno)
        if place != where:
            raise LookupError("%s is %s" % (where, place))
        return frame.f_locals[words[1]]
    if words[0] == "cell":
        cell = obj.__closure__[obj.__code__.co_freevars.index(words[1])]
        return cell if id(cell) == address else cell.cell_contents
    return None


def root_object(root):
    if root["kind"] == "module":
        return sys.modules[root["name"]]
    if root["kind"] == "local":
        variable_name, where = root["name"].split(" in ", 1)
        for ident, frame in sys._current_frames().items():
            while frame:
                name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
                place = "%s (%s:%d)" % (name, frame.f_code.co_filename.rsplit("/", 1)[-1], frame.f_lineno)
                # the main thread has gone on since
                if (place == where or ident == threading.main_thread().ident) and variable_name in frame.f_locals and \
                        id(frame.f_locals[variable_name]) == int(root["address"], 16):
                    return frame.f_locals[variable_name]
                frame = frame.f_back
        raise LookupError(root["name"])
    return None


def evaluate(path):
    """What is wrong with it, the steps that Python evaluated, and those that only
    gc.get_referents confirmed, or nothing in Python can."""
    obj = root_object(path["root"])
    counts = {"python": 0, "referents": 0, "unseen": 0}
    if obj is not None and id(obj) != int(path["root"]["address"], 16):
        return "the root is another object", counts
    for s in path["steps"]:
        address = int(s["address"], 16)
        found = None
        if obj is not None:
            try:
                found = step(obj, s["via"], int(s.get("key", "0x0"), 16), address)
            except (LookupError, AttributeError, TypeError, ValueError, StopIteration) as e:
                return "%s of %s: %r" % (s["via"], type(obj), e), counts
        if found is not None and id(found) != address:
            # a mapping proxy stands for the dict, a local for the cell it is in
            if not (s["via"] == ".__dict__" or (s["via"].startswith("local ") and s["type"] == "cell")):
                return "%s of %s is %s at %#x" % (s["via"], type(obj), type(found), id(found)), counts
            found = None
        if found is None and obj is not None:
            found = next((r for r in gc.get_referents(obj) if id(r) == address), None)
            counts["referents" if found is not None else "unseen"] += 1
        elif found is not None:
            counts["python"] += 1
        else:
            counts["unseen"] += 1
        obj = found
    return None, counts


def main():
    print("ready " + json.dumps({"markers": MARKERS, "modules": [id(m) for m in sys.modules.values()]}), flush=True)
    for line in sys.stdin:
        with open(line.strip()) as f:
            paths = json.load(f)
        with open(line.strip() + ".answer", "w") as f:
            json.dump([evaluate(p) for p in paths], f)
        print("done", flush=True)


main()
