# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths as pyheap prints them, evaluated in the process that they are about: each step
must lead to the object at the step's address. Runs no code of the objects' classes.

paths(reports) gives for each path of each report of `why` the verdicts of its root and
of its steps: "python" (reached as Python code would), "referent" (only gc.get_referents()
knows of it), or what is wrong."""
import collections
import gc
import re
import sys
import types

MRO_OF = type.__dict__["__mro__"].__get__
DICT_OF = type.__dict__["__dict__"].__get__
FLAGS_OF = type.__dict__["__flags__"].__get__
DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
CELL = type((lambda x: lambda: x)(0).__closure__[0])
PLACE = re.compile(r"(.*) in (.*) \(([^()]*):(\d+)\)$", re.S)
OF = re.compile(r"cell (.*) of (.*) \(([^()]*):(\d+)\)$", re.S)
# iterators that tell what they go through when they are to be pickled
REDUCED = [type(i) for i in (iter([]), iter(()), reversed([]), reversed(()), iter("".__class__, 0), enumerate(()), zip(()),
                             map(id, ()), filter(id, ()), iter(collections.deque()), iter(type("S", (), {"__getitem__": 0})()))]
FRAMES = ("gi_frame", "cr_frame", "ag_frame")


def is_a(o, kind):
    """isinstance() asks the object, and a proxy says something else."""
    return kind in MRO_OF(type(o))


def everything():
    """Objects by address."""
    todo = gc.get_objects()
    by_id = {id(o): o for o in todo}
    mine = {id(todo), id(by_id)}
    while todo:
        for o in gc.get_referents(todo.pop()):
            if id(o) not in by_id and id(o) not in mine:
                by_id[id(o)] = o
                todo.append(o)
    return by_id


def namespace(o):
    """An object's __dict__, or None; what is stored, not what a class may say."""
    if is_a(o, type):
        return gc.get_referents(DICT_OF(o))[0]
    for k in MRO_OF(type(o)):
        d = DICT_OF(k).get("__dict__")
        if isinstance(d, DESCRIPTORS):
            try:
                ns = d.__get__(o)
            except (AttributeError, TypeError):
                continue
            if isinstance(ns, dict):
                return ns
    return None


def descriptors(o, name):
    """What members and slots of that name hold, the subclass's first."""
    for k in MRO_OF(type(o)):
        d = DICT_OF(k).get(name)
        if isinstance(d, DESCRIPTORS):
            try:
                yield d.__get__(o)
            except (AttributeError, TypeError, ValueError, RuntimeError, NotImplementedError):
                pass


def attribute(o, name):
    ns = namespace(o)
    if name == "__class__":
        yield type(o)
    if name == "__dict__" and ns is not None:
        yield ns
    if ns is not None:
        for k, v in dict.items(ns):
            if type(k) is str and k == name:
                yield v
    for v in descriptors(o, name):
        yield v


def function_of(code):
    return getattr(code, "co_qualname", code.co_name)


def basename(path):
    return path.rpartition("/")[2]


def frame_of(o):
    if is_a(o, types.FrameType):
        return o
    for name in FRAMES:
        for f in descriptors(o, name):
            return f
    return None


def is_at(frame, function, file, line):
    code = frame.f_code
    return (function_of(code), basename(code.co_filename), frame.f_lineno) == (function, file, int(line))


def local(f, name, address, by_id):
    """A local variable's value, or the cell that has it."""
    ns = f.f_locals
    if name in ns and id(ns[name]) == address:
        return ns[name]
    cell = by_id.get(address)
    if type(cell) is not CELL or name not in f.f_code.co_cellvars + f.f_code.co_freevars:
        return None
    held = gc.get_referents(cell)
    return cell if (held[0] is ns.get(name) if held else name not in ns) else None


def frames():
    for f in list(sys._current_frames().values()):
        while f is not None:
            yield f
            f = f.f_back


class Wrong(Exception):
    pass


class Evaluator:
    def __init__(self):
        self.by_id = everything()

    def at(self, address):
        return self.by_id.get(address)

    # ---- roots -----------------------------------------------------------------

    def root(self, root):
        address = int(root["address"], 16)
        kind, name = root["kind"], root["name"]
        o = self.at(address)
        if address not in self.by_id and kind != "module":
            return None, "unknown"              # nothing that the collector knows refers to it
        if kind == "module":
            if id(sys.modules.get(name)) != address:
                raise Wrong("sys.modules has another one")
            return sys.modules[name], "python"
        if kind == "local":
            variable, function, file, line = PLACE.match(name).groups()
            for f in frames():
                if is_at(f, function, file, line):
                    o = local(f, variable, address, self.by_id)
                    if o is not None:
                        return o, "python"
            for g in self.by_id.values():       # a generator that runs
                f = frame_of(g) if is_a(g, types.GeneratorType) or is_a(g, types.CoroutineType) else None
                if f is not None and is_at(f, function, file, line) and local(f, variable, address, self.by_id) is not None:
                    return o, "python"
            raise Wrong("no frame has that: %s" % [(function_of(f.f_code), f.f_lineno) for f in frames()])
        if kind == "static type":
            if not is_a(o, type) or FLAGS_OF(o) & 1 << 9 and gc.is_tracked(o):
                raise Wrong("it is %r" % type(o))
            return o, "python"
        if kind == "immortal":
            if sys.getrefcount(o) < 1 << 28:
                raise Wrong("counted %d times" % sys.getrefcount(o))
            return o, "python"
        known = {"sys.modules": sys.modules, "builtins": sys.modules["builtins"].__dict__, "sys": sys.__dict__}
        if kind == "interpreter" and name in known:
            if id(known[name]) != address:
                raise Wrong("it is another one")
            return known[name], "python"
        return o, "unknown"

    # ---- steps -----------------------------------------------------------------

    def step(self, o, via, address, key):
        """The object that a step leads to."""
        if via.startswith(".__dict__["):
            return self.item(namespace(o), via[len(".__dict__"):], address, key)
        if via == ".__annotations__" and type(self.at(address)) is tuple and type(o) is types.FunctionType:
            return None                         # becomes a dict when Python asks for it
        if via.startswith("."):
            for v in attribute(o, via[1:]):
                if id(v) == address:
                    return v
            raise Wrong("no such attribute of %s" % type(o).__name__)
        if via.startswith("["):
            return self.item(o, via, address, key)
        if via.startswith("local "):
            name, function, file, line = PLACE.match(via[len("local "):]).groups()
            f = frame_of(o)
            if f is None:
                raise Wrong("%s has no frame" % type(o).__name__)
            if not is_at(f, function, file, line):
                raise Wrong("it is at %s line %d" % (function_of(f.f_code), f.f_lineno))
            v = local(f, name, address, self.by_id)
            if v is None:
                raise Wrong("no such variable, or another one")
            return v
        if via.startswith("cell "):
            return self.cell(o, via, address)
        if via.startswith("<key") and is_a(o, dict):
            for k in dict.keys(o):
                if id(k) == address:
                    text = via[len("<key "):-1]
                    if "…" not in via and via != "<key>" and not same_text(k, text):
                        raise Wrong("the key is %r" % (k,))
                    return k
            raise Wrong("no such key")
        if via == "<element>" and (is_a(o, set) or is_a(o, frozenset)):
            for e in o:
                if id(e) == address:
                    return e
            raise Wrong("no such element")
        if via.startswith("<referent "):
            n = int(via[len("<referent "):-1])
            if id(gc.get_referents(o)[n]) == address:
                return self.at(address)
            raise Wrong("another referent")
        if type(o) in REDUCED:
            for held in o.__reduce__()[1]:
                for v in (held, *(held if type(held) is tuple else ())):
                    if id(v) == address:
                        return v
        return None

    def item(self, o, via, address, key):
        if is_a(o, dict):
            for k, v in dict.items(o):
                if id(v) == address and (key is None or id(k) == key):
                    if "…" not in via and not same_text(k, via[1:-1]):
                        raise Wrong("the key is %r" % (k,))
                    return v
            raise Wrong("no such item")
        kind = next((k for k in (list, tuple, collections.deque) if is_a(o, k)), None)
        if kind is None:
            raise Wrong("no items in %s" % type(o).__name__)
        v = kind.__getitem__(o, int(via[1:-1]))
        if id(v) != address:
            raise Wrong("another item")
        return v

    def cell(self, o, via, address):
        name, function, file, line = OF.match(via).groups()
        closure = o if type(o) is tuple else o.__closure__
        users = [f for f in gc.get_referrers(o) if is_a(f, types.FunctionType)] if type(o) is tuple else [o]
        for f in users:
            code = f.__code__
            if name not in code.co_freevars:
                continue
            c = closure[code.co_freevars.index(name)]
            if (function_of(code), basename(code.co_filename), code.co_firstlineno) != (function, file, int(line)):
                continue
            if id(c) == address:
                return c
            if id(c.cell_contents) == address:
                return c.cell_contents
        raise Wrong("no such cell")

    # ---- whole paths -----------------------------------------------------------

    def path(self, path):
        verdicts = []
        try:
            o, how = self.root(path["root"])
        except Wrong as e:
            o, how = self.at(int(path["root"]["address"], 16)), "wrong: %s" % e
        verdicts.append(how)
        for step in path["steps"]:
            address = int(step["address"], 16)
            key = int(step["key"], 16) if "key" in step else None
            how, to = "unknown" if o is not None else "no object", None
            try:
                to = None if o is None else self.step(o, step["via"], address, key)
            except Wrong as e:
                how = "wrong: %s" % e
            except Exception as e:
                how = "wrong: %r" % e
            if to is not None or address == id(None) and how == "unknown":
                how = "python"
            elif o is not None and how == "unknown" and address in map(id, gc.get_referents(o)):
                how = "referent"
            verdicts.append(how)
            o = self.at(address) if to is None else to
        return verdicts


def same_text(key, text):
    """Whether a key could be written like that; long ones are cut."""
    if not isinstance(key, (str, int)):
        return text == "…"
    if isinstance(key, bool):
        full = str(key)
    else:                                       # of a subclass of int the number, which is equal
        full = "'%s'" % str.__str__(key) if isinstance(key, str) else int.__repr__(key)
    return text in (full, "…", "") or len(full) > 90 or not full.isascii() or not full.isprintable()


def facts():
    """What a search in the references needs to know, by address: classes, what belongs to
    modules and classes, and what has the locals: up to 3.10 frames, later also generators that run."""
    infrastructure = (type, types.FunctionType, types.BuiltinFunctionType, types.CodeType, CELL, types.ModuleType,
                      type(str.join), type(dict.__dict__["fromkeys"]), *DESCRIPTORS, type(int.__add__), property,
                      classmethod, staticmethod)
    old = sys.version_info < (3, 11)
    classes, todo = {}, [object]
    while todo:
        t = todo.pop()
        if id(t) not in classes:
            module = type.__dict__["__module__"].__get__(t)
            name = type.__dict__["__qualname__"].__get__(t)
            classes[id(t)] = {"name": name if module == "builtins" else "%s.%s" % (module, name),
                              "infrastructure": any(k in MRO_OF(t) for k in infrastructure),
                              "of types": type in MRO_OF(t), "of modules": types.ModuleType in MRO_OF(t),
                              "dict": id(namespace(t))}
            todo += type.__subclasses__(t)
    return {"modules": {name: id(m) for name, m in sys.modules.items()},
            "module dicts": [id(namespace(m)) for m in gc.get_objects() if is_a(m, types.ModuleType)],
            "running": [id(g) for g in gc.get_objects() if is_a(g, types.GeneratorType) and g.gi_running and not old],
            "frames": [id(f) for f in frames() if old], "classes": classes}


def paths(reports):
    evaluator = Evaluator()
    return [[evaluator.path(p) for p in r["paths"]] for r in reports]
