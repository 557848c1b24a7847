#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The types written in C of which the oracle's workloads keep no object.

    coverage.py [--all] WORKLOAD...

Executes every WORKLOAD, takes the closure of gc.get_objects() under gc.get_referents(),
imports the rest of the standard library, and prints each type written in C that has no
object in the closure. Types of NOT_HAD and SOMETIMES are left out, and printed with --all;
one of NOT_HAD of which an object is there counts as wrong, too. Exit status 1 when a type is missing.
Runs on CPython 3.8 and later.
"""
import gc
import importlib
import os
import pkgutil
import sys
import sysconfig
import traceback

# what is not part of the library proper, or does something when it is imported
NOT_IMPORTED = ("antigravity", "this", "idlelib", "test", "turtledemo", "turtle", "lib2to3", "ensurepip", "__main__",
                "site-packages", "dist-packages", "xxlimited", "xxsubtype", "_xxtestfuzz", "_ctypes_test", "pydoc_data")

ABSTRACT = "abstract: only its subclasses, which are made in Python, can be called"
NOT_HAD = {
    "_ctypes.Array": ABSTRACT,
    "_ctypes.CFuncPtr": ABSTRACT,
    "_ctypes.PyCFuncPtr": ABSTRACT,
    "_ctypes.Structure": ABSTRACT,
    "_ctypes.Union": ABSTRACT,
    "_ctypes._CData": ABSTRACT,
    "_ctypes._Pointer": ABSTRACT,
    "_ctypes._SimpleCData": ABSTRACT,
    "_ctypes.CType_Type": "abstract: the base of the metaclasses of ctypes",
    "_ctypes.StructParam_Type": "lives while a structure is passed to a function by value",
    "_multibytecodec.MultibyteIncrementalDecoder": ABSTRACT,
    "_multibytecodec.MultibyteIncrementalEncoder": ABSTRACT,
    "_multibytecodec.MultibyteStreamReader": ABSTRACT,
    "_multibytecodec.MultibyteStreamWriter": ABSTRACT,
    "builtins.MultibyteIncrementalDecoder": ABSTRACT,
    "builtins.MultibyteIncrementalEncoder": ABSTRACT,
    "builtins.MultibyteStreamReader": ABSTRACT,
    "builtins.MultibyteStreamWriter": ABSTRACT,
    "builtins.InstructionSequence": "made by the compiler's own tests only (_testinternalcapi)",
    "builtins.async_generator_wrapped_value": "lives between a yield of an asynchronous generator and what awaits it",
    "builtins.sqlite3Node": "held by sqlite3.Cache, which does not say so to gc (up to 3.9)",
    "builtins.uop_executor": "made by the JIT, which is an option of the build",
    "decimal.SignalDictMixin": "abstract: the base of the class of Context.flags",
    "ossaudiodev.oss_audio_device": "needs a sound device",
    "ossaudiodev.oss_mixer_device": "needs a sound device",
    "sys.legacy_event_handler": "held by the interpreter for sys.settrace(); gc does not reach it",
}
SOMETIMES = {
    "_curses.window": "needs the description of a terminal (terminfo)",
    "_curses_panel.panel": "needs the description of a terminal (terminfo)",
    "_tkinter.Tcl_Obj": "needs the scripts of Tcl",
    "_tkinter.tkapp": "needs the scripts of Tcl",
    "_tkinter.tktimertoken": "needs the scripts of Tcl",
}


def library():
    """Imports every module of the library that this build has."""
    names = set(sys.builtin_module_names) | set(getattr(sys, "stdlib_module_names", ()))
    folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("stdlib") + "/lib-dynload"]
    names.update(m.name for m in pkgutil.iter_modules(folders))
    names.update(("importlib._bootstrap", "concurrent.futures.thread", "multiprocessing.shared_memory",
                  "string.templatelib", "compression.zstd", "concurrent.interpreters", "profiling.sampling"))
    for name in sorted(names):
        if name.split(".")[0].startswith(NOT_IMPORTED) or name.startswith("_test"):
            continue
        try:
            importlib.import_module(name)
        except ImportError:
            pass


def all_types():
    found, todo = {}, [object]
    while todo:
        t = todo.pop()
        if id(t) not in found:
            found[id(t)] = t
            todo.extend(type.__subclasses__(t))
    return found


def written_in_c(t):
    """Not made by a class statement: a static type, or one with methods of its own in C."""
    if not t.__flags__ & 1 << 9:
        return True
    c_methods = (type(list.append), type(int.__add__), type(dict.__dict__["fromkeys"]))
    for name, o in type.__dict__["__dict__"].__get__(t).items():
        if isinstance(o, c_methods) and o.__objclass__ is t or name == "__new__" and getattr(o, "__self__", None) is t:
            return True
    try:
        from ctypes import c_void_p
    except ImportError:
        return False
    dealloc = object.__basicsize__ + 32
    return c_void_p.from_address(id(t) + dealloc).value != c_void_p.from_address(id(library_class) + dealloc).value


class library_class:
    pass


def closure(modules):
    gc.unfreeze()
    todo = gc.get_objects() + modules
    seen = set(map(id, todo))
    types = {}
    while todo:
        o = todo.pop()
        types[id(type(o))] = type(o)
        for r in gc.get_referents(o):
            if id(r) not in seen:
                seen.add(id(r))
                todo.append(r)
    return types


def name_of(t):
    try:
        module = type.__dict__["__module__"].__get__(t)
    except AttributeError:
        module = "builtins"
    return "%s.%s" % (module, type.__dict__["__qualname__"].__get__(t))


def main():
    gc.disable()
    scripts = [a for a in sys.argv[1:] if a != "--all"]
    modules = []
    for script in scripts:
        workload = type(sys)("workload")
        workload.__file__ = script
        sys.modules["workload"] = workload
        modules.append(workload)
        with open(script) as f:
            exec(compile(f.read(), script, "exec"), workload.__dict__)
    had = closure(modules)
    library()
    missing, excused, wrong = [], [], []
    for address, t in all_types().items():
        name = name_of(t)
        if address in had:
            if name in NOT_HAD:
                wrong.append(name)
        elif written_in_c(t):
            (excused if name in NOT_HAD or name in SOMETIMES else missing).append(name)
    for name in sorted(missing):
        print(name)
    for name in sorted(wrong):
        print(name, "(is in NOT_HAD, but had)")
    if "--all" in sys.argv:
        for name in sorted(excused):
            print("%s (%s)" % (name, NOT_HAD.get(name) or SOMETIMES[name]))
    print("Python %d.%d.%d: %d types had, %d missing, %d cannot be had" % (
        *sys.version_info[:3], len(had), len(missing), len(excused)))
    return 1 if missing or wrong else 0


if __name__ == "__main__":
    status = 1
    try:
        status = main()
    except BaseException:
        traceback.print_exc()
    finally:
        # not the end of the interpreter, which the workloads are not made for
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
