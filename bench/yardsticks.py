# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, a row each: in a round they are asked in this order."""
import os
import subprocess
import sys
import tempfile
from typing import Callable, NamedTuple

from target import HERE, Missing, Target, own_memory, python_path, timed

PYHEAP = os.path.abspath(os.environ.get("PYHEAP", os.path.join(HERE, "../build/pyheap")))
COPY = os.path.abspath(os.environ.get("COPY", os.path.join(HERE, "../build/bench/copy")))
HEAPS = ("mixed", "graph", "deep", "orm")
SMALL = ("empty", "small")  # an interpreter with nothing to do; one with 100,000 objects
PATIENCE_S = 3600  # for programs of others


class Subject:
    """A target, one with a tenth of its objects, its cores, and pyheap's last run."""

    def __init__(self, options, python, kind, n):
        self.options, self.run, self.cores = options, None, {}
        self.target, self.twin = Target(python, kind, n, options.guppy), None
        try:
            self.live("top")  # the layout is in the cache now
            if kind in HEAPS:
                self.twin = Target(python, kind, n // 10)
        except BaseException:
            self.close()
            raise

    def core(self, name):
        if name not in self.cores:
            self.cores[name] = self.target.kernel_core() if name == "kernel" else self.target.gcore()[0]
        return self.cores[name]

    def pyheap(self, command, *args, before=(), **how):
        self.run = timed(*before, PYHEAP, command, "--json", *args, **how)
        return self.run.seconds

    def live(self, command, *options, **how):
        return self.pyheap(command, *options, self.target.pid, **how)

    def inside(self, module, package):
        seconds = self.target.ask(module)
        if seconds != seconds:
            raise Missing(f"the target cannot import {module} ({package})")
        return seconds

    def close(self):
        for target in (self.target, self.twin):
            if target:
                target.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def copy(s):
    if not os.path.exists(COPY):
        raise Missing("bench/copy is not built (make build/bench/copy)")
    try:
        return float(timed(COPY, s.target.pid).out.split()[1]) / 1e3
    except RuntimeError as e:
        raise Missing(str(e)) from e


def growth(s):
    """Time per object against that with a tenth of them; s.run is `top` of them all."""
    whole, tenth = s.run, timed(PYHEAP, "top", "--json", s.twin.pid)
    return whole.seconds / whole.objects / (tenth.seconds / tenth.objects)


def cat(s):
    core = s.core("kernel")
    for _ in range(2):  # the first one warms the cache
        seconds = timed("cat", core, stdout=subprocess.DEVNULL).seconds
    return seconds


def of_core(name, *options):
    return lambda s: s.pyheap("top", *options, s.core(name))


def gcore(s):
    s.cores["gcore"], seconds = s.target.gcore()
    return seconds


def own_per_object(s):
    """s.run is the same one, timed."""
    return own_memory(PYHEAP, "top", "--json", s.core("kernel")) / s.run.objects


def cold(s):
    with tempfile.TemporaryDirectory() as folder:
        seconds = s.live("top", env={**os.environ, "XDG_CACHE_HOME": folder})
    source = s.run.doc["run"]["layout"]["source"]
    if source != "dwarf":
        raise Missing(f"this Python has no debug information here (layout: {source})")
    return seconds


def guppy(s):
    if not s.options.guppy:
        raise Missing("--guppy tells where it is")
    return s.inside("guppy", "of --guppy")


def ivanyu(s):
    """Dump, for which the target must be running something, and the retained heap of that."""
    root = s.options.ivanyu
    if not root:
        raise Missing("--ivanyu tells where it is")
    dump, awake = (os.path.join(s.target.folder, name) for name in ("dump.pyheap", "awake"))
    ui = os.path.join(root, "pyheap-ui/src")
    open(awake, "w").close()
    s.target.tell("awake " + awake)
    try:
        seconds = timed("timeout", PATIENCE_S, sys.executable, os.path.join(root, "pyheap/src/pyheap_dump.py"),
                        "--pid", s.target.pid, "--file", dump, stdin=subprocess.DEVNULL).seconds
    except RuntimeError as e:
        raise Missing(f"no dump: {e}") from e
    finally:
        os.unlink(awake)
        s.target.proc.stdout.readline()
    try:
        return seconds + timed("timeout", PATIENCE_S, sys.executable, os.path.join(ui, "analyzer.py"), "retained-heap",
                               "--file", dump, env={**os.environ, **python_path(ui)}).seconds
    except RuntimeError as e:
        raise Missing(f"no analysis: {e}") from e


class Row(NamedTuple):
    key: str
    title: str
    unit: str
    get: Callable
    kinds: tuple = HEAPS
    once: bool = False  # too slow, or too steady, to be asked in each round


ROWS = (
    Row("collect", "the target's own gc.collect()", "s", lambda s: s.target.ask("collect")),
    Row("copy", "bare copy of its memory", "s", copy),
    Row("count", "**top --no-retained**", "s", lambda s: s.live("top", "--no-retained")),
    Row("pause", "of this its pause", "s", lambda s: s.run.doc["run"]["pause_ms"] / 1e3),
    Row("cycles", "**cycles**", "s", lambda s: s.live("cycles")),
    Row("top", "**top**", "s", lambda s: s.live("top"), HEAPS + SMALL),
    Row("rate", "objects a second in this", "/s", lambda s: s.run.objects / s.run.seconds),
    Row("rss", "its peak RSS / target's", "", lambda s: s.run.peak / s.target.rss()),
    Row("growth", "its time an object / with a tenth of them", "", growth),
    Row("stack", "**top** with ulimit -s 256", "s",
        lambda s: s.live("top", before=("sh", "-c", 'ulimit -s 256 && exec "$@"', "sh")), ("deep",)),
    Row("cold", "**top**, no layout in the cache", "s", cold, SMALL),
    Row("cat", "cat core >/dev/null", "s", cat),
    Row("core_count", "**top --no-retained** of this core", "s", of_core("kernel", "--no-retained")),
    Row("core_top", "**top** of this core", "s", of_core("kernel")),
    Row("core_bytes", "own memory an object in this", "B", own_per_object, once=True),
    Row("gcore", "stop for gcore", "s", gcore),
    Row("gcore_count", "**top --no-retained** of its core", "s", of_core("gcore", "--no-retained")),
    Row("gcore_top", "**top** of its core", "s", of_core("gcore")),
    Row("naive", "gc.get_objects() and sys.getsizeof", "s", lambda s: s.target.ask("naive")),
    Row("objgraph", "objgraph", "s", lambda s: s.inside("objgraph", "package python3-objgraph, for Debian's Python")),
    Row("guppy", "guppy3's heap()", "s", guppy, once=True),
    Row("ivanyu", "ivanyu/pyheap, dump and analysis", "s", ivanyu, once=True),
)
