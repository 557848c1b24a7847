#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What gc and sys say of every object of this process, written by its twin.

    truth.py TRUTH WORKLOAD [ARGUMENT]...

Executes WORKLOAD with the collector switched off, then forks. This process, the
target, stays inside one read() of its standard input; the twin, whose objects
sit at the same addresses, writes TRUTH and says `ready PID` on standard output.

A workload may define
    run_in, INTERPRETERS    run_in(i, code) executes code in another interpreter, for each i
    fork                    in place of os.fork(), which deletes all interpreters but the main one
    OWNED                   [(object, [what it holds by count and does not visit, ...]), ...];
                            [type] stands for any one object of that type

TRUTH holds JSON lines: {"pid", "version"}; for each interpreter, the main one last,
{"interpreter": its ID} unless the interpreters have one collector, and one line per object of the closure of gc.get_objects() under gc.get_referents():
{"address", "type": address, "size", "refcount", "tracked", "generation", "refs",
"inherited"}, the generation being "other" when the lists of another interpreter have
the object, then {"harness": [address, ...]}, the objects that the two processes do not
share, and {"types": {address: name}}; {"owned": address, "holds": [address, ...],
"any": [address of a type, ...]} for each of OWNED; and for each interpreter
{"garbage": {address of a type: number}}: what gc.collect() finds under DEBUG_SAVEALL.

describe() calls no helpers, and names come last: the twin shall not change what it
describes (caches of code objects, interned strings). Runs on CPython 3.8 and later,
with nothing but builtin modules.
"""
import _io
import gc
import os
import sys

MRO_OF = type.__dict__["__mro__"].__get__
DICT_OF = type.__dict__["__dict__"].__get__
FLAGS_OF = type.__dict__["__flags__"].__get__
MODULE_OF = type.__dict__["__module__"].__get__
QUALNAME_OF = type.__dict__["__qualname__"].__get__
C_METHOD = type(list.append)
BYTESIO = _io.BytesIO
VERSION = sys.version_info
IN_OTHERS = """TRUTH = {"__name__": "truth"}
with open(%r) as f:
    exec(compile(f.read(), "truth.py", "exec"), TRUTH)
TRUTH['describe'](None)
TRUTH['collect'](None)
TRUTH['MARK'] = []
"""
MARK = None         # in an interpreter that compiles code to be asked: what is newer was made for that
FREE_THREADED = not getattr(sys, "_is_gil_enabled", bool)() and VERSION >= (3, 13)
# a function that takes keywords makes a tuple of them when it is called first
gc.get_objects(generation=2)


def describe(out):
    """The objects of this interpreter; nothing without a file to write to."""
    if out is None:
        return
    found = gc.get_objects(generation=0)
    harness = set()
    new = False
    for o in found:
        if new:
            harness.add(id(o))
        elif o is MARK and MARK is not None:
            new = True
    generation = dict.fromkeys(map(id, found), "0")
    found = gc.get_objects(generation=1)
    generation.update(dict.fromkeys(map(id, found), "1"))
    found = gc.get_objects(generation=2)
    generation.update(dict.fromkeys(map(id, found), "2"))
    # what gc.freeze() hid
    gc.unfreeze()
    todo = gc.get_objects()
    # up to 3.10 every running function has a frame among the tracked objects
    frame = sys._getframe() if VERSION < (3, 11) else None
    while frame is not None:
        harness.add(id(frame))
        frame = frame.f_back
    own = {id(todo), id(found), id(generation), id(harness)}
    own.add(id(own))
    own |= harness
    # the lists made since the fork are in no report of the target
    # (no comprehension here: it would make a cell of `own`)
    found, todo = todo, []
    own.add(id(todo))
    for o in found:
        if id(o) not in own:
            todo.append(o)
            generation.setdefault(id(o), '"permanent"')
    o = None
    del found, frame
    seen = set(map(id, todo))
    refs = {}
    sizes = {}
    at = 0
    while at < len(todo):
        o = todo[at]
        at += 1
        if type(o) is BYTESIO:      # its size is another one while we refer to its buffer
            sizes[id(o)] = sys.getsizeof(o)
        found = gc.get_referents(o)
        refs[id(o)] = list(map(id, found))
        for o in found:
            if id(o) not in seen and id(o) not in own:
                seen.add(id(o))
                todo.append(o)
    found = None

    buffered = []
    # an object of which the count is known tells what this loop adds to it
    todo.insert(0, object())
    extra = None
    inherited = {}
    t = method = None
    for o in todo:
        t = None
        count = sys.getrefcount(o)
        if extra is None:
            extra = count
            continue
        t = type(o)
        if id(t) not in inherited:
            inherited[id(t)] = None
            for base in MRO_OF(t) or (t,):
                own_dict = DICT_OF(base)
                # (up to 3.10 a type may not be ready yet)
                if own_dict is not None and "__sizeof__" in own_dict:
                    method = own_dict["__sizeof__"]
                    if type(method) is C_METHOD:
                        if inherited[id(t)] is False:
                            inherited[id(t)] = method
                        break
                    inherited[id(t)] = False
            base = own_dict = method = None
        method = inherited[id(t)]
        if method is None:
            size = sizes.get(id(o)) or sys.getsizeof(o)
        else:
            # never a Python-level __sizeof__: the one that it overrides, and what goes before the object
            flags, size = FLAGS_OF(t), method(o)
            if flags & 1 << 14 and not FREE_THREADED:
                size += 16
            if flags & (1 << 4 if VERSION < (3, 12) else 1 << 4 | 1 << 3) and VERSION >= (3, 11):
                size += 16
        refcount = "null" if VERSION >= (3, 12) and count >= 1 << 31 else "%d" % (count - extra)
        tracked = gc.is_tracked(o)
        buffered.append('{"address": "%#x", "type": "%#x", "size": %d, "refcount": %s, "tracked": %s, '
                        '"generation": %s, "inherited": %s, "refs": [%s]}\n'
                        % (id(o), id(t), size, refcount, "true" if tracked else "false",
                           generation.get(id(o), '"other"') if tracked else "null",
                           "true" if method is not None else "false",
                           ", ".join(['"%#x"' % r for r in refs[id(o)]])))
        if len(buffered) >= 1000:
            os.write(out, "".join(buffered).encode())
            buffered = []
    t = method = None

    names = {}
    for o in todo:
        o = type(o)
        if id(o) in names:
            continue
        try:
            module = MODULE_OF(o)
        except AttributeError:
            module = "builtins"
        name = QUALNAME_OF(o)
        if type(module) is str and module != "builtins":
            name = module + "." + name
        names[id(o)] = "".join([c if " " <= c < "\x7f" and c not in '"\\' else "\\u%04x" % ord(c) for c in name])
    buffered.append('{"harness": [%s]}\n{"types": {%s}}\n'
                    % (", ".join(['"%#x"' % a for a in sorted(harness)]),
                       ", ".join(['"%#x": "%s"' % pair for pair in names.items()])))
    os.write(out, "".join(buffered).encode())


def collect(out):
    """What a collection in this interpreter finds; nothing without a file to write to."""
    if out is None:
        return
    before = len(gc.garbage)
    gc.set_debug(gc.DEBUG_SAVEALL)
    found = gc.collect()
    gc.set_debug(0)
    garbage = {}
    if found and len(gc.garbage) == before:
        garbage[0] = found          # 3.9: gc.garbage is the main interpreter's in all of them
    for o in gc.garbage[before:]:
        garbage[id(type(o))] = garbage.get(id(type(o)), 0) + 1
    os.write(out, ('{"garbage": {%s}}\n' % ", ".join(['"%#x": %d' % pair for pair in garbage.items()])).encode())


def write_owned(out, expected):
    for o, held in expected:
        known, wanted = [], []
        for h in held:
            if type(h) is list and len(h) == 1 and isinstance(h[0], type):
                wanted.append('"%#x"' % id(h[0]))
            else:
                known.append('"%#x"' % id(h))
        os.write(out, ('{"owned": "%#x", "holds": [%s], "any": [%s]}\n'
                       % (id(o), ", ".join(known), ", ".join(wanted))).encode())


def main():
    gc.disable()
    # what modules do in a child would make the twins differ
    os.register_at_fork = lambda **hooks: None
    path, script = sys.argv[1], sys.argv[2]
    sys.argv = sys.argv[2:]
    workload = type(sys)("workload")
    workload.__dict__["__file__"] = script
    sys.modules["workload"] = workload
    with open(script) as f:
        code = compile(f.read(), script, "exec")
    exec(code, workload.__dict__)
    expected = workload.__dict__.get("OWNED", ())
    others = workload.__dict__.get("INTERPRETERS", ())
    run_in = workload.__dict__.get("run_in")
    fork = workload.__dict__.get("fork", os.fork)
    del f, code, workload
    # all that the twin needs exists before the fork, and each function has run once
    for i in others:
        run_in(i, IN_OTHERS % __file__)
    describe(None)
    collect(None)
    if VERSION < (3, 9):
        others = ()                 # one collector for all: the main interpreter knows all objects

    # (up to 3.8 C code calls threading's; sites may import others before us)
    for module, hook in (("threading", "_after_fork"), ("logging", "_after_at_fork_child_reinit_locks")):
        if module in sys.modules and hook in sys.modules[module].__dict__:
            sys.modules[module].__dict__[hook].__code__ = (lambda: None).__code__
    del module, hook
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    if fork():
        os.read(0, 1)
        os._exit(0)

    os.write(out, b'{"pid": %d, "version": "%d.%d.%d"}\n' % (os.getppid(), *VERSION[:3]))
    for i in others:
        os.write(out, b'{"interpreter": %d}\n' % int(i))
        run_in(i, "TRUTH['describe'](%d)" % out)
    if others:
        os.write(out, b'{"interpreter": 0}\n')
    describe(out)
    write_owned(out, expected)
    for i in others:
        run_in(i, "TRUTH['collect'](%d)" % out)
    collect(out)
    os.write(1, b"ready %d\n" % os.getppid())
    os._exit(0)


if __name__ == "__main__":
    main()
