#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What gc and sys say of every object of this process, written by its twin.

    truth.py TRUTH WORKLOAD [ARGUMENT]...

Executes WORKLOAD with the collector switched off, then forks. This process, the
target, stays inside one read() of its standard input; the twin, whose objects
sit at the same addresses, writes TRUTH and says `ready PID` on standard output.

TRUTH holds JSON lines. First {"pid", "version", "harness": [address, ...]}, the
objects that the two do not share; then one line per object of the closure of
gc.get_objects() under gc.get_referents(): {"address", "type": address, "size",
"refcount", "tracked", "generation", "refs", "inherited"}; last {"types": {address:
name}, "garbage": {"tracked", "types"}}: what gc.collect() finds under DEBUG_SAVEALL.

Everything runs in one function without helpers, and names come last: the twin
shall not change what it describes (caches of code objects, interned strings).
Runs on CPython 3.8 and later, with nothing but builtin modules.
"""
import gc
import os
import sys


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
    del f, code, workload

    # (up to 3.8 C code calls threading's; sites may import others before us)
    for module, hook in (("threading", "_after_fork"), ("logging", "_after_at_fork_child_reinit_locks")):
        if module in sys.modules and hook in sys.modules[module].__dict__:
            sys.modules[module].__dict__[hook].__code__ = (lambda: None).__code__
    del module, hook
    # all that the twin needs exists before the fork
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    mro_of = type.__dict__["__mro__"].__get__
    dict_of = type.__dict__["__dict__"].__get__
    flags_of = type.__dict__["__flags__"].__get__
    module_of = type.__dict__["__module__"].__get__
    qualname_of = type.__dict__["__qualname__"].__get__
    c_method = type(list.append)
    version = sys.version_info
    free_threaded = not getattr(sys, "_is_gil_enabled", bool)() and version >= (3, 13)
    # a function that takes keywords makes a tuple of them when it is called first
    gc.get_objects(generation=2)
    # up to 3.10 every running function has a frame among the tracked objects
    frame = sys._getframe() if version < (3, 11) else None

    pid = os.fork()
    if pid:
        os.read(0, 1)
        os._exit(0)

    found = gc.get_objects(generation=0)
    generation = dict.fromkeys(map(id, found), 0)
    found = gc.get_objects(generation=1)
    generation.update(dict.fromkeys(map(id, found), 1))
    found = gc.get_objects(generation=2)
    generation.update(dict.fromkeys(map(id, found), 2))
    # what gc.freeze() hid; its generation stays "permanent" below
    gc.unfreeze()
    todo = gc.get_objects()
    if frame is not None:
        back = frame
        harness = set()
        while back is not None:
            harness.add(id(back))
            back = back.f_back
    else:
        harness = set()
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
    o = None
    del found, frame
    seen = set(map(id, todo))
    refs = {}
    at = 0
    while at < len(todo):
        o = todo[at]
        at += 1
        found = gc.get_referents(o)
        refs[id(o)] = list(map(id, found))
        for o in found:
            if id(o) not in seen and id(o) not in own:
                seen.add(id(o))
                todo.append(o)
    found = None

    buffered = ['{"pid": %d, "version": "%d.%d.%d", "harness": [%s]}\n'
                % (os.getppid(), version[0], version[1], version[2],
                   ", ".join(['"%#x"' % a for a in sorted(harness)]))]
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
            for base in mro_of(t) or (t,):
                own_dict = dict_of(base)
                # (up to 3.10 a type may not be ready yet)
                if own_dict is not None and "__sizeof__" in own_dict:
                    method = own_dict["__sizeof__"]
                    if type(method) is c_method:
                        if inherited[id(t)] is False:
                            inherited[id(t)] = method
                        break
                    inherited[id(t)] = False
            base = own_dict = method = None
        method = inherited[id(t)]
        if method is None:
            size = sys.getsizeof(o)
        else:
            # never a Python-level __sizeof__: the one that it overrides, and what goes before the object
            flags, size = flags_of(t), method(o)
            if flags & 1 << 14 and not free_threaded:
                size += 16
            if flags & (1 << 4 if version < (3, 12) else 1 << 4 | 1 << 3) and version >= (3, 11):
                size += 16
        refcount = "null" if version >= (3, 12) and count >= 1 << 31 else "%d" % (count - extra)
        tracked = gc.is_tracked(o)
        if not tracked:
            g = "null"
        elif id(o) in generation:
            g = "%d" % generation[id(o)]
        else:
            g = '"permanent"'
        buffered.append('{"address": "%#x", "type": "%#x", "size": %d, "refcount": %s, "tracked": %s, '
                        '"generation": %s, "inherited": %s, "refs": [%s]}\n'
                        % (id(o), id(t), size, refcount, "true" if tracked else "false", g,
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
            module = module_of(o)
        except AttributeError:
            module = "builtins"
        name = qualname_of(o)
        if type(module) is str and module != "builtins":
            name = module + "." + name
        names[id(o)] = "".join([c if " " <= c < "\x7f" and c not in '"\\' else "\\u%04x" % ord(c) for c in name])
    o = None
    del todo, generation, seen, refs, inherited

    before = len(gc.garbage)
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    garbage = {}
    for o in gc.garbage[before:]:
        garbage[id(type(o))] = garbage.get(id(type(o)), 0) + 1
    buffered.append('{"types": {%s}, "garbage": {"tracked": %d, "types": {%s}}}\n'
                    % (", ".join(['"%#x": "%s"' % pair for pair in names.items()]), len(gc.garbage) - before,
                       ", ".join(['"%#x": %d' % pair for pair in garbage.items()])))
    os.write(out, "".join(buffered).encode())
    os.write(1, b"ready %d\n" % os.getppid())
    os._exit(0)


main()
