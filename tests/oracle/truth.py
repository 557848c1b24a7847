#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What gc and sys say of every object of this process, written by its twin.

    truth.py [--threads N] TRUTH WORKLOAD [ARGUMENT]...

Executes WORKLOAD with the collector switched off, then forks. With --threads, N threads
execute it one after the other, each in a module of its own; every other one then ends, so
that what it made belongs to no thread, the rest stand still. This process, the
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
import _thread
import gc
import os
import sys
import time

MRO_OF = type.__dict__["__mro__"].__get__
DICT_OF = type.__dict__["__dict__"].__get__
FLAGS_OF = type.__dict__["__flags__"].__get__
MODULE_OF = type.__dict__["__module__"].__get__
QUALNAME_OF = type.__dict__["__qualname__"].__get__
C_METHOD = type(list.append)
FUNCTION = type(lambda: 0)
BYTESIO = _io.BytesIO
VERSION = sys.version_info
IN_OTHERS = """TRUTH = {"__name__": "truth"}
with open(%r) as f:
    exec(compile(f.read(), "truth.py", "exec"), TRUTH)
TRUTH['describe'](None)
TRUTH['collect'](None)
TRUTH['MARK'] = []
"""
ASKED = set()
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
            new = not FREE_THREADED
    if FREE_THREADED:
        generation = dict.fromkeys(map(id, gc.get_objects()), "null")
    else:
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
    if FREE_THREADED and MARK is not None:
        # no order tells here what was made to ask: the outermost code, what the parser
        # has made of its text, and the function made of the code
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
        frame = frame.f_code
        harness.update((id(ASKED), id(frame), id(frame.co_consts), id(frame.co_names)))
        for o in todo:
            if type(o) is FUNCTION and o.__code__ is frame:
                harness.add(id(o))
            elif type(o) is list:
                for r in o:
                    if r is frame.co_names[0]:
                        harness.add(id(o))
                        break
        own |= harness
        ASKED.update(harness)
        r = None
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
        if id(o) in ASKED:
            continue                # a free-threaded build has not freed it yet
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


def execute(code, script, name):
    """The workload's module, executed."""
    workload = type(sys)(name)
    workload.__dict__["__file__"] = script
    sys.modules[name] = workload
    exec(code, workload.__dict__)
    return workload.__dict__


def execute_in_threads(code, script, number):
    """What number threads have executed; those of odd number have ended since."""
    turn, hold, end = (_thread.allocate_lock() for _ in range(3))
    hold.acquire()
    end.acquire()
    made = []

    def thread(i):
        with turn:
            try:
                made.append(execute(code, script, "workload%d" % i))
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        (end if i % 2 else hold).acquire()
        end.release()
    for i in range(number):
        _thread.start_new_thread(thread, (i,))
    while len(made) < number:
        time.sleep(0.01)
    # the workload may have started others
    left = len(os.listdir("/proc/self/task")) - number // 2
    end.release()
    while len(os.listdir("/proc/self/task")) > left or not at_rest():
        time.sleep(0.01)
    return made


def at_rest():
    """No other thread of this process is running."""
    for task in os.listdir("/proc/self/task"):
        with open("/proc/self/task/%s/stat" % task) as f:
            if int(task) != os.getpid() and f.read().rpartition(")")[2].split()[0] != "S":
                return False
    return True


def main():
    gc.disable()
    # what modules do in a child would make the twins differ
    os.register_at_fork = lambda **hooks: None
    threads = 0
    if sys.argv[1] == "--threads":
        threads = int(sys.argv[2])
        del sys.argv[1:3]
    path, script = sys.argv[1], sys.argv[2]
    sys.argv = sys.argv[2:]
    with open(script) as f:
        code = compile(f.read(), script, "exec")
    made = execute_in_threads(code, script, threads) if threads else [execute(code, script, "workload")]
    expected = [o for m in made for o in m.get("OWNED", ())]
    others = [i for m in made for i in m.get("INTERPRETERS", ())]
    run_in = made[0].get("run_in")
    fork = made[0].get("fork", os.fork)
    if threads:
        # os.fork() deletes the states of other threads in the child, and what they hold
        import ctypes
        fork = ctypes.PyDLL(None).fork
    del f, made
    if not FREE_THREADED:       # there it would be garbage until it is collected, and may be frozen
        del code
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
