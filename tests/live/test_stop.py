#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A target is stopped for a moment and goes on, whatever happens to pyheap.

PYHEAP names the binary, PYTHON the interpreter of the targets."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from support import Results

PYHEAP = os.path.abspath(os.environ.get("PYHEAP", "build/pyheap"))
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
results = Results()
check = results.check


class Target:
    """A Python program that says `ready`, then whatever it prints is progress."""

    def __init__(self, code, wrapper=()):
        self.proc = subprocess.Popen([*wrapper, PYTHON, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE,
                                     text=True, bufsize=1)
        line = self.proc.stdout.readline()
        assert line.startswith("ready"), line
        self.pid = int(line.split()[1])

    def status(self, key):
        with open(f"/proc/{self.pid}/status") as f:
            return re.search(rf"^{key}:\s*(\S+)", f.read(), re.M).group(1)

    def moves(self):
        """Does it still answer?"""
        self.proc.stdin.write("x\n")
        self.proc.stdin.flush()
        return self.proc.stdout.readline().strip() == "alive"

    def close(self):
        self.proc.kill()
        self.proc.wait()


ECHO = """
import sys, os, threading, time
KEEP = [[str(i), {i: [i]}] for i in range(%d)]
def work():
    x = 0
    while True:
        x += 1
        y = [x] * 10
for _ in range(%d):
    threading.Thread(target=work, daemon=True).start()
def churn():
    while True:
        t = threading.Thread(target=lambda: None)
        t.start()
        t.join()
for _ in range(%d):
    threading.Thread(target=churn, daemon=True).start()
print("ready", os.getpid(), flush=True)
for line in sys.stdin:
    print("alive", flush=True)
"""


def top(pid, *options, **kw):
    return subprocess.run([PYHEAP, "top", "--json", *options, str(pid)], capture_output=True, text=True, **kw)


def wait_state(target, states):
    for _ in range(200):
        if target.status("State") in states:
            return True
        time.sleep(0.01)
    return False


def test_plain(threads, churn):
    t = Target(ECHO % (20000, threads, churn))
    for _ in range(3):
        r = top(t.pid)
        check(f"top of {threads}+{churn} threads", r.returncode == 0, r.stderr)
        if r.returncode == 0:
            doc = json.loads(r.stdout)
            lists = [x["count"] for x in doc["types"] if x["type"] == "list"][0]
            check("its lists are there", lists >= 40000, lists)
            check("the pause was measured", doc["run"]["pause_ms"] > 0)
    check("it goes on", t.moves() and t.status("TracerPid") == "0")
    t.close()


def test_sigkill(rounds=100):
    t = Target(ECHO % (100000, 2, 1))
    whole = time.time()
    top(t.pid, "--no-retained")
    whole = time.time() - whole
    rng = random.Random(1)
    for i in range(rounds):
        p = subprocess.Popen([PYHEAP, "top", "--no-retained", str(t.pid)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(rng.random() * whole)
        p.kill()
        p.wait()
        ok = t.moves() and t.status("TracerPid") == "0" and t.status("State") in "RSD"
        check(f"SIGKILL {i} leaves it running", ok, t.status("State"))
    t.close()


def test_signals():
    t = Target(ECHO % (300000, 0, 0))
    for sig in (signal.SIGINT, signal.SIGTERM):
        statuses = set()
        for delay in (0.002, 0.01, 0.03, 0.06, 0.1):
            # a shell's background jobs ignore SIGINT, and pyheap respects that
            p = subprocess.Popen([PYHEAP, "top", str(t.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            time.sleep(delay)
            p.send_signal(sig)
            statuses.add(p.wait())
            check(f"{sig.name} leaves it running", t.moves() and t.status("TracerPid") == "0")
        # before the handlers are set the signal itself ends pyheap
        check(f"{sig.name} ends in 128+N", statuses <= {128 + sig, -sig, 0} and 128 + sig in statuses, statuses)
    t.close()


def test_group_stop():
    t = Target(ECHO % (1000, 1, 0))
    os.kill(t.pid, signal.SIGSTOP)
    check("SIGSTOP stops it", wait_state(t, "T"))
    r = top(t.pid)
    check("a stopped target can be read", r.returncode == 0, r.stderr)
    check("and stays stopped", wait_state(t, "T"), t.status("State"))
    time.sleep(0.05)
    check("and still is", t.status("State") == "T", t.status("State"))
    os.kill(t.pid, signal.SIGCONT)
    check("SIGCONT wakes it", t.moves())
    t.close()


def test_no_signal_is_lost():
    code = """
import os, signal, sys
n = 0
def on(*a):
    global n
    n += 1
signal.signal(signal.SIGRTMIN, on)
print("ready", os.getpid(), flush=True)
for line in sys.stdin:
    print("alive" if line != "count\\n" else n, flush=True)
"""
    t = Target(code)
    p = None
    for i in range(400):
        if i % 40 == 0:
            p = subprocess.Popen([PYHEAP, "top", str(t.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.kill(t.pid, signal.SIGRTMIN)
        time.sleep(0.0005)
        if i % 40 == 39:
            p.wait()
    check("still alive", t.moves())
    # Python folds signals that arrive together into one call of the handler, so only
    # a floor can be told: none of them ended the process, and most were seen
    t.proc.stdin.write("count\n")
    t.proc.stdin.flush()
    n = int(t.proc.stdout.readline())
    check("signals arrive", 100 <= n <= 400, n)
    t.close()


def test_epoll():
    code = """
import os, select, sys, time
e = select.epoll()
r, w = os.pipe()
e.register(r, select.EPOLLIN)
print("ready", os.getpid(), flush=True)
for line in sys.stdin:
    t = time.monotonic()
    e.poll(0.5)
    time.sleep(0.3)
    print("alive" if time.monotonic() - t > 0.78 else "too early", flush=True)
"""
    t = Target(code)
    t.proc.stdin.write("x\n")
    t.proc.stdin.flush()
    for _ in range(5):
        check("top during epoll", top(t.pid).returncode == 0)
    check("epoll and sleep last as long as they were to", t.proc.stdout.readline().strip() == "alive")
    t.close()


def test_traced():
    t = Target(ECHO % (10, 0, 0))
    tracer = subprocess.Popen(["gdb", "-q", "-nx", "-p", str(t.pid)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    ok = False
    for _ in range(500):
        if t.status("TracerPid") != "0":
            ok = True
            break
        time.sleep(0.01)
    check("gdb attaches", ok)
    r = top(t.pid)
    check("traced: exit 4 naming the tracer", r.returncode == 4 and "gdb" in r.stderr and str(tracer.pid) in r.stderr,
          (r.returncode, r.stderr))
    tracer.kill()
    tracer.wait()
    t.close()


def test_vfork():
    """A thread in vfork waits in the kernel for its child, and cannot be stopped."""
    t = Target("""
import ctypes, os, sys, threading
libc = ctypes.CDLL(None)
import subprocess
print("ready", os.getpid(), flush=True)
r, w = os.pipe()
# posix_spawn uses vfork; the child stays before exec as long as opening the fifo blocks
path = sys.stdin.readline().strip()
def go():
    os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 7, path, os.O_RDONLY, 0)])
threading.Thread(target=go, daemon=True).start()
for line in sys.stdin:
    print("alive", flush=True)
""")
    with tempfile.TemporaryDirectory() as d:
        fifo = os.path.join(d, "fifo")
        os.mkfifo(fifo)
        t.proc.stdin.write(fifo + "\n")
        t.proc.stdin.flush()
        state = ""
        for _ in range(300):
            states = []
            for tid in os.listdir(f"/proc/{t.pid}/task"):
                with open(f"/proc/{t.pid}/task/{tid}/stat") as f:
                    states.append(f.read().rpartition(")")[2].split()[0])
            if "D" in states:
                state = "D"
                break
            time.sleep(0.01)
        check("a thread waits in vfork", state == "D", states)
        began = time.time()
        r = top(t.pid, "--stop-timeout", "0.3")
        took = time.time() - began
        check("does not stop: exit 2 that names it", r.returncode == 2 and "did not stop" in r.stderr, (r.returncode, r.stderr))
        check("in about the time given", took < 2, took)
        with open(fifo, "w"):
            pass
        check("all run again", t.moves() and t.status("TracerPid") == "0")
    t.close()


def test_not_there():
    r = top(4194300)
    check("no such process: 2", r.returncode == 2, r.stderr)
    p = subprocess.Popen(["sleep", "100"])
    r = top(p.pid)
    check("not Python: 3", r.returncode == 3, (r.returncode, r.stderr))
    p.kill()
    for _ in range(100):
        with open(f"/proc/{p.pid}/stat") as f:
            if ") Z" in f.read():
                break
        time.sleep(0.01)
    r = top(p.pid)
    check("zombie: 2", r.returncode == 2 and "zombie" in r.stderr, (r.returncode, r.stderr))
    p.wait()
    t = Target(ECHO % (10, 0, 0))
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory() as d: # where nobody can get at it
            os.chmod(d, 0o755)
            copy = shutil.copy(PYHEAP, d)
            r = subprocess.run([copy, "top", str(t.pid)], capture_output=True, text=True, user="nobody", cwd=d)
        check("another user's: 4", r.returncode == 4 and "uid" in r.stderr, (r.returncode, r.stderr))
    t.close()
    if os.path.exists("/proc/2") and not os.path.exists("/proc/2/exe"): # not inside a PID namespace
        r = top(2)
        check("a kernel thread: 3", r.returncode == 3, (r.returncode, r.stderr))


def test_low_memory():
    t = Target(ECHO % (100000, 1, 0))
    os.kill(t.pid, signal.SIGSTOP)
    a, b = top(t.pid, "--no-exec"), top(t.pid, "--low-memory")
    os.kill(t.pid, signal.SIGCONT)
    check("--low-memory works", b.returncode == 0, b.stderr)
    check("and says that it cannot ask the objects' own code", "--low-memory" in b.stderr, b.stderr)
    if a.returncode == 0 and b.returncode == 0:
        da, db = json.loads(a.stdout), json.loads(b.stdout)
        del da["run"], db["run"]
        check("and says the same", da == db, (da["notes"], db["notes"]))
    check("and lets go", t.moves())
    t.close()


def cgroup_v1(name, limit):
    base = "/sys/fs/cgroup/memory"
    if not os.path.exists(f"{base}/memory.limit_in_bytes") or os.geteuid() != 0:
        return None
    path = f"{base}/{name}"
    os.makedirs(path, exist_ok=True)
    with open(f"{path}/memory.limit_in_bytes", "w") as f:
        f.write(str(limit))
    return path


def test_cgroup():
    """pyheap and its target share a limit of 1.3 times the target's memory."""
    t = Target(ECHO % (300000, 0, 0))
    rss = int(t.status("VmRSS")) * 1024
    path = cgroup_v1(f"pyheap-test-{os.getpid()}", rss * 13 // 10)
    if not path:
        check("this machine has a cgroup v1 memory controller to test with", os.path.exists("/sys/fs/cgroup/cgroup.controllers"))
        t.close()
        return
    t.close()

    def join():
        with open(f"{path}/cgroup.procs", "w") as f:
            f.write(str(os.getpid()))

    t = Target(ECHO % (300000, 0, 0), wrapper=["sh", "-c", f'echo $$ > {path}/cgroup.procs; exec "$@"', "sh"])
    for options in (["--no-retained"], [], ["--low-memory", "--no-retained"]):
        r = subprocess.run([PYHEAP, "top", *options, str(t.pid)], capture_output=True, text=True, preexec_fn=join)
        check(f"{options}: the target survives", t.proc.poll() is None and t.moves(), r.returncode)
        if "--low-memory" not in options:
            check("refused with the figure: 7", r.returncode == 7 and "MiB" in r.stderr and "cgroup" in r.stderr,
                  (r.returncode, r.stderr))
    t.close()
    os.rmdir(path)


def main():
    test_not_there()
    test_plain(0, 0)
    test_plain(4, 2)
    test_group_stop()
    test_no_signal_is_lost()
    test_epoll()
    test_traced()
    test_vfork()
    test_signals()
    test_low_memory()
    test_cgroup()
    test_sigkill(int(os.environ.get("SIGKILLS", "100")))
    return results.finish()


sys.exit(main())
