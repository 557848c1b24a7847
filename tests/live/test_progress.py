#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said while pyheap works: with --progress, on a terminal, with -q and -v, and that
Ctrl-C is answered at once while it is said."""
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import tempfile
import threading
import time

from support import PYHEAP, SYSTEM_PYTHON, Results, Sample, pyheap

results = Results()
check = results.check
PAUSE_S = 2.2    # in the middle of standard input
ROUNDS = 12      # of Ctrl-C
ANSWER_S = 0.2   # to one, mostly, …
BUSY_S = 2.0     # … and always, on a machine that does other things, too
CODE = """
import array, re, sys
d = [[i, str(i), array.array("b", b"x")] for i in range(int(sys.argv[1]))]
print("ready", flush=True)
sys.stdin.read()
"""


def feed(proc, path):
    with open(path, "rb") as f:
        whole = f.read()
    proc.stdin.write(whole[:len(whole) // 2])
    proc.stdin.flush()
    time.sleep(PAUSE_S)
    proc.stdin.write(whole[len(whole) // 2:])
    proc.stdin.close()


def from_slow(path, *args, terminal=False):
    """What it says and its answer, from a file on standard input that takes its time."""
    said, stderr = pty.openpty() if terminal else os.pipe()
    proc = subprocess.Popen([PYHEAP, "top", "--json", "-", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=stderr)
    os.close(stderr)
    feeder = threading.Thread(target=feed, args=(proc, path))
    feeder.start()
    text = b""
    while select.select([said], [], [], 60)[0]:
        try:
            some = os.read(said, 65536)
        except OSError:  # a terminal that nobody has open any more
            break
        if not some:
            break
        text += some
    answer = proc.stdout.read()
    proc.stdout.close()
    feeder.join()
    os.close(said)
    check(f"{args}: status", proc.wait() == 0, text)
    return text.decode(), json.loads(answer)["types"]


def check_slow(path):
    line = r"reading standard input \.\.\. [\d.]+ [KMG]?i?B/s"
    said, plain = from_slow(path)
    check("not a terminal: nothing", said == "", said)
    said, types = from_slow(path, "--progress", "always")
    check("--progress: lines", re.search(rf"^pyheap: {line}$", said, re.M), said)
    check("--progress: no control characters", "\r" not in said and "\033" not in said, said)
    check("--progress: the same answer", types == plain)
    said, _ = from_slow(path, "--progress", "always", "-q")
    check("-q: nothing", said == "", said)
    said, types = from_slow(path, terminal=True)
    check("a terminal: again and again", len(re.findall(rf"\r\033\[K{line}", said)) >= 3, said)
    check("a terminal: one line, empty in the end", "\n" not in said and said.endswith("\r\033[K"), said)
    check("a terminal: the same answer", types == plain)
    said, _ = from_slow(path, "-q", terminal=True)
    check("a terminal and -q: nothing", said == "", said)
    said, _ = from_slow(path, "--progress", "never", terminal=True)
    check("a terminal and --progress never: nothing", said == "", said)


def check_times(target):
    said = pyheap("top", "-v", target.pid).stderr
    number = r"\d+\.\d"
    check("-v", re.search(rf"^pyheap: reading objects: {number} ms \(mark {number}, edges {number}, replay {number}\)$",
                          said, re.M), said)
    for phase in ("opening the target", "copying memory", "reading the interpreter", "computing retained sizes", "report"):
        check(f"-v: {phase}", re.search(rf"^pyheap: {phase}: {number} ms$", said, re.M), said)
    check("-q -v: nothing", pyheap("top", "-q", "-v", target.pid).stderr == "")


def status(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return re.search(rf"^{key}:\s*(\S+)", f.read(), re.M)[1]


def check_interrupts(target, *args):
    """At random moments of a run, while the line is being shown."""
    rng, took = random.Random(1), []
    start = time.monotonic()
    pyheap(*args, "--progress", "always")
    whole = time.monotonic() - start
    for i in range(ROUNDS):
        proc = subprocess.Popen([PYHEAP, *args, "--progress", "always"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        time.sleep(rng.random() * whole)
        proc.send_signal(signal.SIGINT)
        start = time.monotonic()
        said = proc.communicate()[1]
        code = proc.returncode
        took.append(time.monotonic() - start)
        check(f"{args[0]} {i}: the target goes on", status(target.pid, "TracerPid") == "0" and
              status(target.pid, "State") in "SR", status(target.pid, "State"))
        check(f"{args[0]} {i}: status", code in (0, 130, -signal.SIGINT), f"{code}: {said[-4000:]}")
    took.sort()
    check(f"{args[0]}: Ctrl-C is answered", took[len(took) // 2] < ANSWER_S and took[-1] < BUSY_S, took)
    print(f"{args[0]}: Ctrl-C answered after {1000 * took[len(took) // 2]:.0f} ms, at most {1000 * took[-1]:.0f}", flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        script, snap = os.path.join(folder, "target.py"), os.path.join(folder, "snap")
        with open(script, "w") as f:
            f.write(CODE)
        target = Sample(SYSTEM_PYTHON, script, "300000")
        try:
            check_times(target)
            check("a snapshot", pyheap("snapshot", "-o", snap, target.pid).returncode == 0)
            check_slow(snap)
            for command in (("top",), ("cycles",), ("snapshot", "--force", "-o", snap)):
                check_interrupts(target, *command, str(target.pid))
            check_interrupts(target, "dominators", snap)
        finally:
            target.kill()
    return results.finish()


if __name__ == "__main__":
    raise SystemExit(main())
