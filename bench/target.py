# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, a workload with its cores, and how: programs timed from start to exit."""
import contextlib
import glob
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
EMPTY = "print('ready', flush=True); input()"


class Missing(Exception):
    """A figure that is not to be had here, and why."""


class Run(NamedTuple):
    seconds: float
    out: str
    peak: int  # bytes, resident

    @property
    def doc(self):
        return json.loads(self.out)

    @property
    def objects(self):
        return self.doc["totals"]["objects"]


def timed(*command, **how):
    """A program from start to exit, its output read through a pipe, if stdout is not told otherwise."""
    with tempfile.TemporaryFile("w+") as stderr:
        began = time.perf_counter()
        how = {"stdout": subprocess.PIPE, "stderr": stderr, **how}
        with subprocess.Popen([str(c) for c in command], text=True, **how) as p:
            out = p.stdout.read() if p.stdout else ""
            _, status, usage = os.wait4(p.pid, 0)
            seconds = time.perf_counter() - began
            p.returncode = os.waitstatus_to_exitcode(status)
        if p.returncode:
            stderr.seek(0)
            said = stderr.read().strip().splitlines() or [f"status {p.returncode}"]
            raise RuntimeError(f"{' '.join(p.args)}: {said[-1]}")
    return Run(seconds, out, usage.ru_maxrss * 1024)


def python_path(folder):
    return {"PYTHONPATH": os.pathsep.join(p for p in (folder, os.environ.get("PYTHONPATH")) if p)}


def family(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as f:
        return [pid, *map(int, f.read().split())]
    return [pid]


def own_now(pid):
    own = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) * 1024 for line in f if line.startswith(own))
    return 0


def own_memory(*command):
    """The most that a program and its children have of memory of their own, in bytes: read from
    smaps_rollup as often as can be. Pages of files are not: those of a mapped core can be dropped."""
    p = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while p.poll() is None:
        peak = max(peak, sum(map(own_now, family(p.pid))))
    if p.returncode:
        raise RuntimeError(f"{' '.join(p.args)}: status {p.returncode}")
    return peak


class Target:
    """A workload that is ready, in a folder of its own. path: where else it finds modules."""

    def __init__(self, python, kind, n, path=None):
        self.held = tempfile.TemporaryDirectory(prefix="pyheap-bench-")
        self.folder = self.held.name
        if kind == "small":
            kind, n = "mixed", 80000  # besides the 20,000 that an interpreter has
        args = ["-c", EMPTY] if kind == "empty" else [os.path.join(HERE, "workload.py"), kind, str(n)]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **python_path(path)}
        self.proc = subprocess.Popen([python, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     cwd=self.folder, env=env)
        self.pid = self.proc.pid
        if self.proc.stdout.readline() != "ready\n":
            self.close()
            raise RuntimeError(f"{python} has no workload {kind}")

    def ask(self, line):
        self.tell(line)
        return float(self.proc.stdout.readline())

    def tell(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()

    def rss(self):
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * resource.getpagesize()

    def state(self):
        with open(f"/proc/{self.pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0]

    def kernel_core(self):
        """Of a fork: the target lives on."""
        self.ask("core")
        found = glob.glob(os.path.join(self.folder, "core*"))
        if not found:
            with open("/proc/sys/kernel/core_pattern") as f:
                raise Missing("the kernel leaves no core here (`ulimit -Hc`; core_pattern is " + f.read().strip() + ")")
        settle(found[0])
        return found[0]

    def gcore(self):
        """The core, and how long the target stood still for it."""
        if not shutil.which("gcore"):
            raise Missing("there is no gcore (package gdb)")
        base = os.path.join(self.folder, "gcore")
        p = subprocess.Popen(["gcore", "-o", base, str(self.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stopped = []
        while p.poll() is None:
            if self.state() in "tT":
                stopped.append(time.perf_counter())
            time.sleep(0.001)
        if p.returncode or not stopped:
            raise Missing("gcore could not read the target")
        settle(f"{base}.{self.pid}")
        return f"{base}.{self.pid}", stopped[-1] - stopped[0]

    def close(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()
        self.held.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def settle(path):
    """What is still to be written to the disk would be written while we measure."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
