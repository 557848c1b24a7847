#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping, copying and letting go, below the command line: drives tests/live/capture.c.

CAPTURE names that program (else it is BUILD/tests/capture, which is made from BUILD's
library when it is not there), PYTHON the interpreter of the targets. SIGKILLS: how often
the capturing process is killed (100). Arguments: names of tests, else all are run."""
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from support import Results

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD") or os.path.dirname(os.environ.get("PYHEAP", "build/pyheap")))
CAPTURE = os.path.abspath(os.environ.get("CAPTURE", os.path.join(BUILD, "tests", "capture")))
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
SIGKILLS = int(os.environ.get("SIGKILLS", "100"))
results = Results()
check = results.check


def until(what, seconds=5):
    """Waits for a condition; the last word is the condition's own."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.005)
    return bool(what())


PREAMBLE = """
import ctypes, gc, os, signal, sys, threading, time
def ready(*words):
    print("ready", os.getpid(), *words, flush=True)
def serve():
    for line in sys.stdin:
        print("alive", flush=True)
def busy():
    x = 0
    while True:
        x += 1
def sleeper():
    while True:
        time.sleep(0.001)
def churn():
    while True:
        t = threading.Thread(target=lambda: None)
        t.start()
        t.join()
def start(function, n):
    for _ in range(n):
        threading.Thread(target=function, daemon=True).start()
"""


class Target:
    def __init__(self, code, wrapper=(), python=PYTHON, **kw):
        self.proc = subprocess.Popen([*wrapper, python, "-c", PREAMBLE + code], stdout=subprocess.PIPE,
                                     stdin=subprocess.PIPE, text=True, bufsize=1, **kw)
        words = self.proc.stdout.readline().split()
        assert words and words[0] == "ready", words
        self.pid, self.words = int(words[1]), words[2:]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.proc.kill()
        self.proc.wait()

    def status(self, key, tid=None):
        with open(f"/proc/{self.pid}/task/{tid or self.pid}/status") as f:
            return re.search(rf"^{key}:\s*(\S+)", f.read(), re.M).group(1)

    def moves(self):
        self.proc.stdin.write("x\n")
        return self.proc.stdout.readline().strip() == "alive"

    def free(self):
        """No thread is traced or in a tracer's stop."""
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            try:
                if self.status("TracerPid", tid) != "0" or self.status("State", tid) in "tT":
                    return False
            except (FileNotFoundError, ProcessLookupError):
                pass
        return True

    def parents_news(self):
        """What a parent that waits for its child's stops has heard; None = nothing."""
        return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WCONTINUED | os.WEXITED | os.WNOHANG | os.WNOWAIT)


class Figures(dict):
    """Words KEY=VALUE of the output, the last one of each key; and the exit status."""

    def __init__(self, done):
        super().__init__(re.findall(r"(\S+?)=(\S*)", done.stdout))
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr


def capture(pid, *options, **kw):
    return Figures(subprocess.run([CAPTURE, *options, str(pid)], capture_output=True, text=True, **kw))


def capture_start(pid, *options, **kw):
    """Started and, with --hold, holding."""
    p = subprocess.Popen([CAPTURE, *options, str(pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if "--hold" in options:
        while p.stdout.readline().strip() not in ("holding", ""):
            pass
    return p


def test_what_is_copied():
    """Byte for byte what a stopped target has, in both ways of reading it."""
    code = """
import mmap, tempfile
f = tempfile.TemporaryFile()
f.truncate(8 << 30)
big = mmap.mmap(f.fileno(), 8 << 30, flags=mmap.MAP_PRIVATE)        # private, of a file, mostly untouched
big[5 << 30] = 77
shared = mmap.mmap(-1, 1 << 30)                                      # shared: never
shared[0] = 1
lazy = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
lazy[0] = 1; lazy[600 * 4096] = 2; lazy[700 * 4096] = 3              # holes of 2.3 MiB and 400 KiB
def at(m, i):
    return ctypes.addressof(ctypes.c_char.from_buffer(m)) + i
ready(at(big, 5 << 30), at(big, 4 << 30), at(shared, 0), at(lazy, 600 * 4096), at(lazy, 650 * 4096), at(lazy, 4096))
serve()
"""
    with Target(code) as t:
        os.kill(t.pid, signal.SIGSTOP)
        until(lambda: t.status("State") == "T")
        before = t.status("VmRSS")
        for options in ([], ["--pause-none"]):
            check("captured", capture(t.pid, *options).code == 0)
        check("the target did not grow", t.status("VmRSS") == before, (before, t.status("VmRSS")))
        reads = [x for a in t.words for x in ("--read", f"{a}:1")]
        for options in ([], ["--low-memory"], ["--pause-none"]):
            c = capture(t.pid, "--verify", *reads, *options)
            check(f"copy {options}: nothing differs", c.code == 0 and c["differ"] == "0" and c["gone"] == "0", c.out + c.err)
            found = re.findall("bytes=(.*)", c.out)
            check("written page of a private file mapping", found[0] == "4d", found)
            check("its other pages and shared memory are left out", found[1:3] == ["missing", "missing"], found)
            check("touched and small untouched pages are one piece", found[3:5] == ["02", "00"], found)
            check("large untouched ones are missing", found[5] == "missing", found)
            check("8 GiB were not read", int(c["copied"]) < 100 << 20, c["copied"])


def test_threads():
    """Threads that come and go all the time, and 20 that stay."""
    for code in ("serve()", "start(busy, 3); start(sleeper, 17); ready(); serve()",
                 "start(churn, 20); ready(); serve()", "start(churn, 5); start(busy, 2); ready(); serve()"):
        code = code if "ready" in code else "ready(); " + code
        with Target(code) as t:
            c = capture(t.pid, "--repeat", "20", "--ignore-limits")
            check("threads: " + code, c.code == 0, c.err)
            check("each has its registers", "sp=0x0" not in c.out and "tls=0x0" not in c.out, c.out)
            check("and a name", "name=\n" not in c.out or "churn" in code)
            check("it goes on", t.moves() and until(t.free), t.status("State"))
            if "sleeper" in code:
                check("all 21", c["threads"] == "21", c["threads"])


def test_thread_id():
    with Target("start(sleeper, 1); ready(); serve()") as t:
        tid = max(map(int, os.listdir(f"/proc/{t.pid}/task")))
        c = capture(tid)
        check("the ID of a thread stands for its process", c.code == 0 and c["pid"] == str(t.pid) and tid != t.pid, c.err)


# The C handler writes one byte for each signal, so that none can hide behind another.
COUNT = """
r, w = os.pipe()
os.set_blocking(w, False)
signal.set_wakeup_fd(w, warn_on_full_buffer=False)
signal.signal(signal.SIGRTMIN, lambda *a: None)
start(churn, 1); start(sleeper, 3)
ready()
for line in sys.stdin:
    if line == "count\\n":
        os.set_blocking(r, False)
        try:
            print(len(os.read(r, 1 << 20)), flush=True)
        except BlockingIOError:
            print(0, flush=True)
    else:
        print("alive", flush=True)
"""


def count(t):
    """Signals seen since the last time; asked often, for the pipe holds 65536."""
    t.proc.stdin.write("count\n")
    return int(t.proc.stdout.readline())


def test_sigkill():
    """Whenever the capturing process is killed, the target goes on, and has lost no signal."""
    rng = random.Random(7)
    with Target("DATA = [[i] for i in range(200000)]\n" + COUNT) as t:
        began = time.monotonic()
        capture(t.pid)
        whole = time.monotonic() - began
        sent = seen = bad = killed = 0
        for i in range(SIGKILLS):
            p = capture_start(t.pid, "--repeat", "1000000")
            end = time.monotonic() + rng.random() * 2.5 * whole
            while time.monotonic() < end:
                os.kill(t.pid, signal.SIGRTMIN)
                sent += 1
                time.sleep(0.0005)
            p.kill()
            killed += p.wait() == -signal.SIGKILL
            p.stdout.close()
            p.stderr.close()
            if not (until(t.free) and t.moves()):
                bad += 1
            seen += count(t)
        for _ in range(100):
            if seen < sent:
                time.sleep(0.01)
                seen += count(t)
        check(f"SIGKILL at {SIGKILLS} instants", bad == 0, f"{bad} left it stopped")
        check("each hit a running capture", killed == SIGKILLS, killed)
        check("no signal is lost or doubled", seen == sent, (seen, sent))


def test_interrupt():
    for number in (signal.SIGINT, signal.SIGTERM):
        with Target("DATA = [[i] for i in range(500000)]\nready(); serve()") as t:
            codes = set()
            for delay in (0.005, 0.01, 0.02, 0.03, 0.05, 0.08):
                p = capture_start(t.pid, "--repeat", "50")
                time.sleep(delay)
                p.send_signal(number)
                p.communicate()
                codes.add(p.returncode)
                check(f"{number.name} leaves it running", t.free() and t.moves())
            # before its handlers are there the signal itself ends it; on a busy machine the
            # signal may come when all is done
            check("and ends in 128 + N", 128 + number in codes and codes <= {128 + number, -number, 0}, codes)


def test_group_stop():
    """A target under SIGSTOP stays so, its parent hears nothing new, SIGCONT works."""
    for code in ("ready(); serve()", "start(busy, 2); start(sleeper, 3); ready(); serve()"):
        with Target(code) as t:
            os.kill(t.pid, signal.SIGSTOP)
            check("stopped", until(lambda: t.status("State") == "T"))
            os.waitid(os.P_PID, t.pid, os.WSTOPPED)
            for options in ([], ["--low-memory"], ["--repeat", "20"]):
                c = capture(t.pid, *options)
                check("a stopped target can be captured", c.code == 0, c.err)
                states = [t.status("State", tid) for tid in os.listdir(f"/proc/{t.pid}/task")]
                check("and stays stopped", until(lambda: set(t.status("State", tid) for tid in
                                                             os.listdir(f"/proc/{t.pid}/task")) == {"T"}), states)
            time.sleep(0.05)
            check("still is", t.status("State") == "T" and t.status("TracerPid") == "0")
            check("its parent heard of nothing", t.parents_news() is None, t.parents_news())
            os.kill(t.pid, signal.SIGCONT)
            check("SIGCONT wakes it", t.moves())
            check("its parent heard of that", t.parents_news() is not None)


def test_signals_while_held():
    """Stop, continue and kill, sent while a capture holds the target."""
    with Target("start(sleeper, 2); ready(); serve()") as t:
        p = capture_start(t.pid, "--low-memory", "--hold", "0.3")
        os.kill(t.pid, signal.SIGSTOP)
        p.communicate()
        check("SIGSTOP while held stops it afterwards", p.returncode == 0 and until(lambda: t.status("State") == "T"))
        p = capture_start(t.pid, "--low-memory", "--hold", "0.3")
        os.kill(t.pid, signal.SIGCONT)
        p.communicate()
        check("SIGCONT while held lets it run afterwards", p.returncode == 0 and until(t.free) and t.moves())
        # a job of its own, with us as its shell: SIGTSTP does nothing to an orphaned group
        p = capture_start(t.pid, "--low-memory", "--hold", "0.3", preexec_fn=os.setpgrp)
        check("held: it stands still", t.status("State") == "t" and t.status("TracerPid") != "0")
        p.send_signal(signal.SIGTSTP)
        check("Ctrl-Z waits until the target runs again", until(lambda: t.free() and state_of(p.pid) == "T"),
              (t.free(), state_of(p.pid)))
        p.send_signal(signal.SIGCONT)
        p.communicate()
        check("then it ends well", p.returncode == 0 and t.moves(), p.returncode)
        p = capture_start(t.pid, "--low-memory", "--hold", "0.3")
        os.kill(t.pid, signal.SIGKILL)
        status = os.waitid(os.P_PID, t.pid, os.WEXITED | os.WNOWAIT)
        p.communicate()
        check("SIGKILL while held ends it", status.si_status == signal.SIGKILL and p.returncode == 0, status)


def state_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0]


def test_exits_meanwhile():
    """Processes that end while they are captured: an error or an answer, never a hang."""
    codes = set()
    for i in range(40):
        with Target("DATA = [[i] for i in range(30000)]\nstart(churn, 2)\nready()\ntime.sleep(%f)\nos._exit(3)"
                    % (0.002 + i * 0.0005)) as t:
            c = capture(t.pid, "--repeat", "1000", timeout=20)
            codes.add(c.code)
            check("its parent gets its exit status", t.proc.wait() == 3, t.proc.returncode)
            check("it has ended: 2 and says so", c.code == 2 and ("ended" in c.err or "no process" in c.err), (c.code, c.err))


def test_exec_meanwhile():
    code = """
import threading
ready()
if len(sys.argv) < 2:
    start(sleeper, 3)
    time.sleep(0.02)
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"])
"""
    with Target(code) as t:
        c = capture(t.pid, "--repeat", "200", timeout=60)
        check("exec meanwhile", c.code in (0, 2), (c.code, c.err))
        check("the new program runs", until(t.free) and t.proc.poll() is None)


def test_vfork():
    """A thread in vfork cannot be stopped: exit 2 names it, and it is not kept either."""
    code = """
libc = ctypes.CDLL(None)
def go(path): # by ctypes, which lets the other threads of Python run meanwhile
    actions, pid = ctypes.create_string_buffer(256), ctypes.c_int()
    libc.posix_spawn_file_actions_init(actions)
    libc.posix_spawn_file_actions_addopen(actions, 7, path.encode(), os.O_RDONLY, 0)
    args = (ctypes.c_char_p * 2)(b"true", None)
    libc.posix_spawn(ctypes.byref(pid), b"/bin/true", actions, None, args, (ctypes.c_char_p * 1)(None))
ready()
threading.Thread(target=go, args=(sys.stdin.readline().strip(),), daemon=True).start()
serve()
"""
    with tempfile.TemporaryDirectory() as d, Target(code) as t:
        fifo = os.path.join(d, "fifo")
        os.mkfifo(fifo)
        t.proc.stdin.write(fifo + "\n")
        def waiting():
            return [tid for tid in os.listdir(f"/proc/{t.pid}/task") if t.status("State", tid) == "D"]
        tids = []
        def settled():  # threads are in that state for a moment for other reasons, too
            tids[:] = waiting()
            time.sleep(0.05)
            return tids and tids == waiting()
        if not check("a thread waits in vfork", until(settled)):
            return
        tid = tids[0]
        began = time.monotonic()
        p = capture_start(t.pid, "--stop-timeout", "0.3", "--hold", "1")
        took = time.monotonic() - began
        check("within about the time given", 0.25 < took < 1, took)
        check("the others run while pyheap is still there", t.moves() and p.poll() is None)
        check("none is traced", until(t.free), os.listdir(f"/proc/{t.pid}/task"))
        os.close(os.open(fifo, os.O_WRONLY))
        check("the one in vfork goes on, not into a stop", until(lambda: not os.path.exists(f"/proc/{t.pid}/task/{tid}")))
        check("and pyheap was there all the time", p.poll() is None)
        err = p.communicate()[1]
        check("exit 2 names it", p.returncode == 2 and f"thread {tid}" in err and "did not stop" in err, err)
    with Target("signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
                "start(lambda: [os.posix_spawn('/bin/true', ['true'], {}) for _ in range(10**9)], 3); ready(); serve()") as t:
        c = capture(t.pid, "--repeat", "30")
        check("children that are started all the time", c.code == 0, c.err)
        check("it goes on", until(lambda: t.status("State") not in "tT") and t.moves())


def test_traced():
    with Target("ready(); serve()") as t, Target("ready(); serve()") as other:
        p = capture_start(t.pid, "--low-memory", "--hold", "2")
        c = capture(t.pid)
        check("already traced: exit 4 that names the tracer",
              c.code == 4 and f"process {p.pid} (capture)" in c.err or f"(capture)" in c.err and c.code == 4, c.err)
        c = capture(t.pid, "--pause-none")
        check("but not for --pause none", c.code == 0 and c["pause_ms"].startswith("-"), c.err)
        c = capture(other.pid)
        check("others can be captured", c.code == 0, c.err)
        p.kill()
        p.communicate()
        check("both go on", until(t.free) and t.moves() and other.moves())


def test_sleeps():
    """time.sleep and epoll wait as long as they were to, across stops."""
    code = """
import select
ready()
for line in sys.stdin:
    began = time.monotonic()
    e = select.epoll(); r, w = os.pipe(); e.register(r, select.EPOLLIN)
    e.poll(0.4); time.sleep(0.3); threading.Event().wait(0.2); select.select([r], [], [], 0.2)
    print(time.monotonic() - began, flush=True)
"""
    with Target(code) as t:
        t.proc.stdin.write("x\n")
        c = capture(t.pid, "--repeat", "60")
        took = float(t.proc.stdout.readline())
        check("sleep, epoll, select, wait", c.code == 0 and 1.09 < took < 2.5, (took, c.err))


def test_places():
    """Namespaces, another root, deleted and unnamed programs: the files are found."""
    if not check("needs root", os.geteuid() == 0):
        return
    def modules(c):
        return re.findall(r"module=(\S+) open=(\S+) elf=(\d)", c.out)
    with Target("ready(); serve()", wrapper=["unshare", "-fp", "--mount-proc"], stderr=subprocess.DEVNULL) as t:
        # its PID inside is 1: the child of unshare is the one
        with open(f"/proc/{t.proc.pid}/task/{t.proc.pid}/children") as f:
            pid = int(f.read().split()[0])
        c = capture(pid, "--modules")
        check("in a PID namespace", c.code == 0 and all(m[2] == "1" for m in modules(c)) and modules(c), c.out + c.err)
        check("thread IDs are ours, not its", f"thread={pid} " in c.out, c.out)
        check("it goes on", t.moves())
        subprocess.run(["kill", "-9", str(pid)], check=True)
    with tempfile.TemporaryDirectory() as d:
        real = os.path.realpath(subprocess.check_output([PYTHON, "-c", "import sys; print(sys.executable)"], text=True).strip())
        copy = os.path.join(d, "python with spaces")
        shutil.copy(real, copy)
        env = dict(os.environ, PYTHONHOME=subprocess.check_output(
            [PYTHON, "-c", "import sys; print(sys.base_prefix)"], text=True).strip())
        with Target("ready(); serve()", python=copy, env=env) as t:
            os.unlink(copy)
            c = capture(t.pid, "--modules")
            mine = re.findall(r"module=(.*) open=(.*) elf=(\d)", c.out)
            mine = [m for m in mine if m[0] == copy]
            check("a deleted program", c.code == 0 and mine and mine[0][2] == "1" and "map_files" in mine[0][1], c.out + c.err)
    with tempfile.TemporaryDirectory() as d:
        for name in ("usr", "lib", "lib64", "bin", "root", "dev", "proc"):
            os.mkdir(os.path.join(d, name))
        mounts = "".join(f"mount --rbind /{n} {d}/{n}; " for n in ("usr", "lib", "lib64", "bin", "root", "dev") if os.path.exists(f"/{n}"))
        # a private copy of the interpreter's folder is not needed: another mount is another path
        with Target("ready(); serve()", wrapper=["unshare", "-m", "sh", "-c", mounts + f'exec chroot {d} "$@"', "sh"]) as t:
            c = capture(t.pid, "--modules")
            check("in another root", c.code == 0 and modules(c) and all(m[2] == "1" for m in modules(c)), c.out + c.err)
            check("it goes on", t.moves())


SECCOMP = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
def refuse(number):
    # load the syscall's number; if it is this one: EPERM, else go on
    code = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 6, 0, 0, 0x00050001, 6, 0, 0, 0x7fff0000)
    buf = ctypes.create_string_buffer(code)
    prog = struct.pack("HxxxxxxP", 4, ctypes.addressof(buf))
    libc.prctl(38, 1, 0, 0, 0)
    assert libc.prctl(22, 2, ctypes.create_string_buffer(prog), 0, 0) == 0
"""


def test_forbidden_call():
    """Without process_vm_readv (a sandbox) the memory is read through /proc/PID/mem."""
    space = {}
    exec(SECCOMP, space)
    number = {"x86_64": 310, "aarch64": 270}[os.uname().machine]
    with Target("DATA = [[i] for i in range(100000)]\nready(); serve()") as t:
        os.kill(t.pid, signal.SIGSTOP)
        until(lambda: t.status("State") == "T")
        for options in ([], ["--low-memory"]):
            c = capture(t.pid, "--verify", *options, preexec_fn=lambda: space["refuse"](number))
            check(f"/proc/PID/mem {options}", c.code == 0 and c["differ"] == "0" and c["gone"] == "0" and
                  int(c["verified"]) > 10 << 20, c.out + c.err)
        # nor the newer way to list pages
        c = capture(t.pid, "--verify", preexec_fn=lambda: space["refuse"]({"x86_64": 16, "aarch64": 29}[os.uname().machine]))
        more = int(c["copied"]) - int(capture(t.pid)["copied"])  # pages of zeroes, which it cannot tell
        check("pagemap read the old way", c.code == 0 and c["differ"] == "0" and c["gone"] == "0" and
              0 <= more < int(c["copied"]) // 4, c.out + c.err + str(more))
        os.environ["LSAN_OPTIONS"] = "detect_leaks=0"  # which needs ptrace itself
        c = capture(t.pid, preexec_fn=lambda: space["refuse"]({"x86_64": 101, "aarch64": 117}[os.uname().machine]))
        del os.environ["LSAN_OPTIONS"]
        check("without ptrace: 4, and says that it is a filter", c.code == 4 and "seccomp" in c.err, (c.code, c.err))


def test_permission():
    if not check("needs root", os.geteuid() == 0):
        return
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        program = shutil.copy(CAPTURE, d)
        def capture_as(pid, *options, **kw):
            return Figures(subprocess.run([program, *options, str(pid)], capture_output=True, text=True, cwd="/", **kw))
        with Target("ready(); serve()") as t:
            c = capture_as(t.pid, user="nobody", group="nogroup", extra_groups=[])
            check("another user's: 4 with both uids and sudo", c.code == 4 and "uid 0" in c.err and "uid 65534" in c.err and "sudo" in c.err, c.err)
        with Target("os.setgid(65534); os.setuid(65534); ready(); serve()") as t:
            c = capture_as(t.pid, user=65534, group=65534, extra_groups=[])
            check("not dumpable: 4", c.code == 4 and "not dumpable" in c.err, c.err)
            check("root can", capture(t.pid).code == 0)
        # dumpable again, as if it had been started by that user
        with Target("os.setgroups([]); os.setgid(65534); os.setuid(65534); ctypes.CDLL(None).prctl(4, 1); ready(); serve()") as t:
            c = capture_as(t.pid, user=65534, group=65534, extra_groups=[])
            yama = os.path.exists("/proc/sys/kernel/yama/ptrace_scope")
            check("one's own process", yama or c.code == 0, c.err)
            check("its modules are listed without map_files", yama or int(c.get("modules", 0)) > 1, c.out)
    with Target("ready(); serve()") as t:
        c = Figures(subprocess.run(["capsh", "--drop=cap_sys_ptrace", "--", "-c", f"exec {CAPTURE} {t.pid}"],
                                   capture_output=True, text=True))
        check("root without CAP_SYS_PTRACE: 4 and how to get it", c.code == 4 and "capabilities" in c.err and "SYS_PTRACE" in c.err, c.err)


def test_not_there():
    c = capture(4194300)
    check("no such process", c.code == 2 and "no process 4194300" in c.err, c.err)
    c = capture(2)
    check("a kernel thread: 3", c.code == 3, (c.code, c.err))
    p = subprocess.Popen(["true"])
    until(lambda: state_of(p.pid) == "Z")
    c = capture(p.pid)
    check("a zombie: 2", c.code == 2 and "zombie" in c.err, c.err)
    p.wait()
    c = capture(os.getpid(), "--pause-none", "--low-memory")
    check("two options that do not go together: 2", c.code == 2, c.err)


# ELF32: write nothing, pause() in a loop. int 0x80 works in 32-bit mode only.
def program_32():
    code = b"\xb8\x1d\x00\x00\x00\xcd\x80\xeb\xf7"
    ehdr = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01" + bytes(9), 2, 3, 1, 0x8048054, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    phdr = struct.pack("<8I", 1, 0, 0x8048000, 0x8048000, 84 + len(code), 84 + len(code), 5, 4096)
    return ehdr + phdr + code


def test_32_bit():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "program")
        with open(path, "wb") as f:
            f.write(program_32())
        os.chmod(path, 0o755)
        try:
            p = subprocess.Popen([path])
        except OSError as e:
            check("this kernel runs 32-bit programs, or says why not", e.errno == 8, e)
            return
        until(lambda: os.readlink(f"/proc/{p.pid}/exe") == path)
        c = capture(p.pid)
        check("a 32-bit process: 7", c.code == 7 and "32-bit" in c.err, (c.code, c.err))
        p.kill()
        p.wait()


def cgroup_v1(limit):
    path = f"/sys/fs/cgroup/memory/pyheap-capture-{os.getpid()}"
    os.mkdir(path)
    with open(f"{path}/memory.limit_in_bytes", "w") as f:
        f.write(str(limit))
    return path


def test_memory_limit():
    """Target and capture below one limit of 1.3 times the target's memory."""
    code = "DATA = [[i, str(i)] for i in range(300000)]\nready(); serve()"
    with Target(code) as t:
        rss = int(t.status("VmRSS")) * 1024
    if not os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        check("no cgroup v1 here: v2 must be", os.path.exists("/sys/fs/cgroup/cgroup.controllers"))
        return
    path = cgroup_v1(rss * 13 // 10)
    def join():
        with open(f"{path}/cgroup.procs", "w") as f:
            f.write("0")
    try:
        with Target(code, preexec_fn=join) as t:
            c = capture(t.pid, preexec_fn=join)
            check("refused: 7 with the figures and the ways out", c.code == 7 and path in c.err and "MiB" in c.err and
                  "--low-memory" in c.err and "gcore" in c.err, c.err)
            check("the ID of a process outside is no matter", capture(t.pid).code == 0)
            for options in ([], ["--low-memory"], ["--ignore-limits"], ["--low-memory", "--ignore-limits"]):
                for _ in range(5):
                    c = capture(t.pid, *options, "--sum", preexec_fn=join)
                    check(f"the target survives {options}", t.proc.poll() is None and until(t.free) and t.moves(), c.code)
                if options == ["--low-memory", "--ignore-limits"]:
                    check("windows fit where a copy does not", c.code in (0, -9), (c.code, c.err))
    finally:
        until(lambda: not open(f"{path}/cgroup.procs").read())
        os.rmdir(path)
    with open(CAPTURE, "rb") as f:
        if b"__asan_init" in f.read():
            print("skipped: ulimit -v: AddressSanitizer itself needs terabytes of addresses")
            return
    with Target(code) as t:
        c = capture(t.pid, preexec_fn=lambda: __import__("resource").setrlimit(9, (40 << 20, 40 << 20)))
        check("ulimit -v: 7", c.code == 7 and "ulimit -v" in c.err, (c.code, c.err))


def test_oom_score():
    with Target("ready(); serve()") as t:
        p = capture_start(t.pid, "--hold", "0.5")
        with open(f"/proc/{p.pid}/oom_score_adj") as f:
            check("pyheap goes first", f.read().strip() == "1000")
        p.communicate()


def test_growing():
    """A target that grows by gigabytes a second: also between the look and the stop."""
    code = """
KEEP = []
def grow():
    while len(KEEP) < 160:
        KEEP.append(bytearray(8 << 20))
        KEEP[-1][::4096] = bytes(2048)
sys.setswitchinterval(1e-4)
start(grow, 1); start(churn, 1); ready(); serve()
"""
    with Target(code) as t:
        c = capture(t.pid, "--repeat", "10", "--sum")
        sizes = [int(x) for x in re.findall(r"copied=(\d+)", c.out)]
        check("captures of a growing target", c.code == 0 and len(sizes) == 10, (c.code, c.err, sizes))
        check("it grew meanwhile", sizes[-1] > sizes[0], sizes) # by how much is the machine's business
        check("nothing is missing", "missing-pages" not in c.out, c.out)
        check("it goes on", t.moves())


def make_capture():
    """The program, from the library that pyheap itself is made of."""
    source, library = os.path.join(ROOT, "tests", "live", "capture.c"), os.path.join(BUILD, "libpyheap.a")
    if os.path.exists(CAPTURE) and os.path.getmtime(CAPTURE) >= max(map(os.path.getmtime, (source, library))):
        return
    with open(library, "rb") as f:
        sanitize = ["-fsanitize=address,undefined"] if b"__asan_init" in f.read() else []
    os.makedirs(os.path.dirname(CAPTURE), exist_ok=True)
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", *sanitize,
                    "-I" + os.path.join(ROOT, "include"), "-o", CAPTURE, source, library, "-lelf", "-ldw", "-lz",
                    "-llzma", "-lzstd", "-llz4", "-lm"],
                   check=True)


def main():
    if "CAPTURE" not in os.environ:
        make_capture()
    for name, test in list(globals().items()):
        if name.startswith("test_") and (len(sys.argv) < 2 or name[5:] in sys.argv[1:]):
            began = time.monotonic()
            test()
            if os.environ.get("VERBOSE"):
                print(f"{name} {time.monotonic() - began:.1f} s", flush=True)
    return results.finish()


sys.exit(main())
