#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects whose own code attacks whoever runs it (hostile.c): pyheap's sealed child runs
it, an answer comes in bounded time, of everything else as exactly as ever, and nothing of
the attack is seen outside: no file, no connection, no process, not in the target."""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from support import PYHEAP, ROOT, SYSTEM_PYTHON, VALIDATOR, Results, Sample

HONEST = 200  # objects before, between and behind the attackers
PROGRAM = """
import gc, sys, warnings
gc.disable()
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import hostile
KEEP, HELD = [], [1]
def friends():
    KEEP.append(hostile.make("picky", "hostile.Friend%d" % len(KEEP), 0, HELD, 200))
friends()
KEEP.append(hostile.make("picky", "generator", 0, HELD, 3))  # a builtin's name
for spec in sys.argv[3:]:
    if spec == "impostor":
        KEEP.append(hostile.make("picky", "datetime.date", 0, HELD, 3))
        continue
    name, arg, count = (spec.split(":") + ["0", "1"][spec.count(":"):])[:3]
    KEEP.append(hostile.make(name, "hostile.%s_%s" % (name, arg), int(arg), HELD, int(count)))
    friends()
hostile.arm("escaped", int(sys.argv[2]))
print("ready", flush=True)
for line in sys.stdin:
    print(*hostile.look(), flush=True)
"""
# what each attacker's references are in the end: None = not known exactly, the call was ended
CALLS = {
    "numbers": 2, "arguments": 2, "played:0": None, "played:1": None, "vsyscall": None,
    **{f"fork:{i}": None for i in range(3)}, **{f"file:{i}": None for i in range(2)}, "connect": None,
    **{f"kill:{i}": None for i in range(3)}, **{f"ptrace:{i}": None for i in range(2)},
    **{f"new_code:{i}": None for i in range(4)}, "exec": None, **{f"jump:{i}": None for i in range(32)},
}
WORDS = {
    "loop": None, "recurse": None, "visit_often": None, "longjmp:1": None, **{f"trap:{i}": None for i in range(13)},
    "size:0": 2, "size:1": 2, "size:2": 2, "size:3": 2, "size:4": 2, "size:5": 2, "size:6": 2, "size:7": 2, "size:8": 2,
    "size:9": 2,
}
SIZES_FAIL = {f"size:{i}" for i in range(1, 9)}
# each ends a child
DEATHS = {name: None for name in ("sysenter", "far", "leave_early", "state:0", "state:1", "state:255")}
# what a call leaves behind in the processor is nobody else's trouble
BEHIND = {f"leave_state:{i}": 2 for i in range(10)}
BEHIND_FAILED = {f"leave_state:{i}": None for i in range(16, 26)}
# these tell lies about all that the same child is asked
LIARS = ["corrupt:0", "corrupt:1", "corrupt:2", "corrupt:3", "corrupt:4", "corrupt:6", "corrupt:9", "corrupt:10",
         "desync", "everything:0", "everything:1", "longjmp:0", "visit_garbage"]
# not ended by the child's own watchdog: pyheap's patience is ten seconds
PATIENCE = ["loop_masked", "wait_for_byte", "loop_state"]
STRACED = ["vsyscall", "fork:0", "fork:2", "file:0", "connect", "kill:0", "kill:2", "ptrace:1", "new_code:0", "new_code:1",
           "exec", "jump:0", "jump:9", "played:0", "arguments", "size:2", "state:0", "leave_early"]
results = Results()
check = results.check
listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)


def session_of(leader, dead=True):
    """Processes of a session, with those that nobody has waited for unless not dead."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                state, _, _, session = f.read().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and (dead or state not in "ZX"):
            found.append((int(pid), state))
    return found


def run(name, limit, *args, wrapper=(), **kw):
    """pyheap in a session of its own, of which nothing may be left. (status, stdout, stderr, seconds)"""
    start = time.monotonic()
    if wrapper[:1] == ["strace"]: # the sanitizer looks for leaks by tracing, too
        kw["env"] = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    proc = subprocess.Popen([*wrapper, PYHEAP, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, **kw)
    try:
        out, err = proc.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(proc.pid, signal.SIGKILL)
        out, err = proc.communicate()
        check(f"{name}: ends within {limit} s", False, err)
        return None, out, err, limit
    left = session_of(proc.pid)
    check(f"{name}: no process is left", not left, left)
    return proc.returncode, out, err, time.monotonic() - start


class Hostile(Sample):
    def __init__(self, folder, specs):
        super().__init__(SYSTEM_PYTHON, os.path.join(folder, "program.py"), folder, str(listener.getsockname()[1]), *specs)
        self.specs = list(specs)

    def check_whole(self, name):
        check(f"{name}: the target has run none of it", self.ask("look").split() == ["1", "0"])
        check(f"{name}: no file was made", not os.path.exists(os.path.join(self.dir.name, "escaped")))

    def top(self, name, limit, *options, least=None, failed=True, **kw):
        """The report of `pyheap top`. least: of coverage; None = nothing but the attackers may be inexact."""
        status, out, err, seconds = run(name, limit, "top", "--json", *options, str(self.pid), **kw)
        self.check_whole(name)
        if status is None or not check(f"{name}: an answer", status == 0, (status, err)):
            return None
        doc = json.loads(out)
        errors = list(VALIDATOR.iter_errors(doc))
        check(f"{name}: the report is valid", not errors, errors[:1])
        kinds = {n["kind"] for n in doc["notes"]}
        if failed is not None:
            check(f"{name}: a note of calls that failed", ("replay-failed" in kinds) == failed, kinds)
        exact = 1 - len(self.specs) / doc["totals"]["objects"] if least is None else least
        check(f"{name}: the rest is exact", doc["coverage"] >= exact - 1e-6,  # as it is rounded
              (doc["coverage"], exact))
        friends = sum(t["count"] for t in doc["types"] if t["type"].startswith("hostile.Friend"))
        check(f"{name}: all objects are found", friends >= HONEST * (len(self.specs) + 1), friends)
        return doc

    def objects(self, name, expected):
        """References of each attacker, one by one."""
        path = os.path.join(self.dir.name, "objects")
        status, _, err, _ = run(name, 20, "objects", "--refs", "-f", "jsonl", "--force", "-o", path, str(self.pid))
        if not check(f"{name}: objects", status == 0, err):
            return
        with open(path) as f:
            rows = [json.loads(line) for line in f if '"hostile.' in line]
        rows = [o for o in rows if o["type"].startswith("hostile.")]
        friends = [o for o in rows if o["type"].startswith("hostile.Friend")]
        wrong = [o for o in friends if not o["refs_exact"] or not o["size_exact"] or len(o["refs"]) != 2]
        check(f"{name}: objects of others are exact", not wrong and len(friends) == HONEST * (len(expected) + 1),
              (len(wrong), len(friends), wrong[:1]))
        attackers = {o["type"][8:]: o for o in rows if not o["type"].startswith("hostile.Friend")}
        for spec, n in expected.items():
            o = attackers.get("_".join((spec.split(":") + ["0"])[:2]))
            if not check(f"{name}: {spec} is there", o is not None):
                continue
            check(f"{name}: {spec} has {n} references", o["refs_exact"] == (n is not None) and n in (None, len(o["refs"])), o)
            check(f"{name}: the size of {spec}", o["size_exact"] == (spec not in SIZES_FAIL), o)


def test_group(folder, name, expected):
    failed = None in expected.values()
    with Hostile(folder, expected) as target:
        target.top(name, 20, failed=failed)
        target.objects(name, expected)


def test_verify(folder):
    specs = {**CALLS, **WORDS}
    with Hostile(folder, specs) as target:
        target.top("--verify", 30, "--verify")


def test_name(folder):
    """A type of an extension that is called as a builtin one is not read like that."""
    with Hostile(folder, ["numbers"]) as target:
        status, _, err, _ = run("generator", 20, "top", "--verify", str(target.pid))
        check("readers read their own types only", status == 0 and "compared, 0 differ" in err, err)


def test_difference(folder):
    """A type that is called like another of an extension is read wrong: --verify says so."""
    with Hostile(folder, ["impostor"]) as target:
        status, _, err, _ = run("impostor", 20, "top", "--verify", str(target.pid))
        said = re.search(r"verify: datetime\.date: 3 with other references, 0 with another size", err)
        check("--verify says where readers differ", status == 0 and said, (status, err))
        status, _, err, _ = run("impostor", 20, "top", "--verify", "--strict", str(target.pid))
        check("--verify --strict: 6", status == 6, (status, err))


def test_liar(folder, spec):
    with Hostile(folder, [spec]) as target:
        doc = target.top(spec, 20, least=0.9, failed=None)
        if doc and spec == "visit_garbage":
            kinds = {n["kind"]: n["count"] for n in doc["notes"]}
            check("visit_garbage: every word that is no object is noted", kinds.get("bad-reference") == 21, kinds)


def test_patience(folder, spec):
    with Hostile(folder, [spec]) as target:
        target.top(spec, 30)
        if spec == "loop_masked":
            test_killed(target)


def test_killed(target):
    """A child that blocks all signals goes when pyheap goes."""
    for number in (signal.SIGKILL, signal.SIGINT):
        name = f"{number.name} while it loops"
        proc = subprocess.Popen([PYHEAP, "top", str(target.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                start_new_session=True)
        deadline = time.monotonic() + 5
        while len(session_of(proc.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        proc.send_signal(number)
        proc.wait()
        while session_of(proc.pid, dead=False) and time.monotonic() < deadline:
            time.sleep(0.01)
        check(f"{name}: it is gone", not session_of(proc.pid, dead=False), session_of(proc.pid))
        target.check_whole(name)


def test_trickle(folder):
    """One answer a batch, and it never reads: neither does pyheap work for ever nor wait on a full pipe."""
    with Hostile(folder, ["trickle:0:140000"]) as target:
        target.top("trickle", 30, least=0, failed=None)


def test_no_kill(folder):
    """Root that may not send signals to other users' processes."""
    if os.geteuid() or not shutil.which("setpriv"):
        return
    with Hostile(folder, ["exec"]) as target:
        target.top("without CAP_KILL", 10, wrapper=["setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill"])


def test_no_exec(folder):
    with Hostile(folder, CALLS) as target:
        doc = target.top("--no-exec", 10, "--no-exec", least=0.5, failed=False)
        if doc:
            check("--no-exec: inexact", "inexact-references" in {n["kind"] for n in doc["notes"]} and doc["coverage"] < 1)
        status = run("--no-exec --verify", 10, "top", "--no-exec", "--verify", str(target.pid))[0]
        check("--no-exec --verify is refused", status == 2, status)


# ---- sizes ----

BUFFERS = """
import ctypes, decimal, sys
many = [None] * 200000
KEEP = [decimal.Decimal(i) for i in range(400)]
items = ctypes.c_void_p.from_address(id(many) + 24).value
for d in KEEP:                                          # mpd_t: flags, exp, digits, len, alloc, data
    ctypes.c_uint8.from_address(id(d) + 24).value = 0   # data of its own
    ctypes.c_ssize_t.from_address(id(d) + 56).value = len(many)
    ctypes.c_void_p.from_address(id(d) + 64).value = items
print("ready", flush=True)
sys.stdin.read(1)
import os
os._exit(0)
"""


def test_buffers(folder):
    """Objects that all claim the same large buffer: pyheap does not follow it for each."""
    program = os.path.join(folder, "buffers.py")
    with open(program, "w") as f:
        f.write(BUFFERS)
    with Sample(SYSTEM_PYTHON, program) as target:
        status, out, err, _ = run("buffers", 30, "top", "--json", "--no-retained", str(target.pid))
        if not check("buffers: an answer", status == 0, (status, err)):
            return
        totals = json.loads(out)["totals"]
        sizes = {t["type"]: t["shallow_bytes"] for t in json.loads(out)["types"]}["decimal.Decimal"]
        check("buffers: the sizes are as claimed", sizes > 400 * 200000 * 8, sizes)
        check("buffers: what is followed is bounded", totals["references"] * 8 < 8 * totals["memory"]["rss_bytes"], totals)


# ---- cores -------------------------------------------------------------------------------------

EXTENSION = """
import importlib.machinery, importlib.util, os, shutil, sys
import _asyncio, re, xml.etree.ElementTree as ET
copy = os.path.join(sys.argv[1], os.path.basename(_asyncio.__file__))
shutil.copy(_asyncio.__file__, copy)
loader = importlib.machinery.ExtensionFileLoader("_asyncio", copy)
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("_asyncio", loader))
class Loop:
    def get_debug(self):
        return False
KEEP = [module.Future(loop=Loop()) for _ in range(100)], [ET.Element("e") for _ in range(100)], re.compile("a")
print("ready", flush=True)
sys.stdin.read()
"""


def test_cores(folder):
    """A core whose extension has gone, and one that somebody else has written."""
    program = os.path.join(folder, "extension.py")
    with open(program, "w") as f:
        f.write(EXTENSION)
    with Sample(SYSTEM_PYTHON, program, folder) as target:
        look_at_core(folder, target.gcore())


def look_at_core(folder, core):
    def objects(*options):
        """(types that are not exact, messages)"""
        status, out, err, _ = run(f"core {options}", 20, "objects", "-f", "jsonl", *options, core)
        check(f"core {options}: an answer", status == 0, (status, err))
        rows = [json.loads(line) for line in out.splitlines() if '"address"' in line]
        return {o["type"] for o in rows if not (o["size_exact"] and o["refs_exact"])}, err

    whole, _ = objects()
    check("a core is exact", not whole, whole)
    for name in os.listdir(folder):
        if name.startswith("_asyncio"):
            os.unlink(os.path.join(folder, name))
    lost, err = objects()
    inexact = set(lost)
    # its name went with the file
    check("without its file an extension's type is not exact, and only that", len(lost) == 1 and
          lost.pop().startswith("<type 0x"), (lost, err))
    if os.geteuid() == 0:
        os.chown(core, 65534, 65534)
        foreign, err = objects()
        check("nothing of a stranger's core is run", len(foreign) > 5 and "--exec" in err, (foreign, err))
        asked, err = objects("--exec")
        check("unless asked for", asked == inexact, (asked, err))


# ---- strace ------------------------------------------------------------------------------------

ALLOWED = re.compile(r"read\(0, .*, 1\) |write\(1, .*, 1\) |rt_sigreturn\(|exit_group\(")


def events_of(trace):
    """{pid: [whole lines]}"""
    events, begun = {}, {}
    with open(trace, errors="replace") as f:
        for line in f:
            pid, _, text = line.rstrip("\n").partition(" ")
            text = text.strip()
            if text.endswith("<unfinished ...>"):
                begun[pid] = text[:-len("<unfinished ...>")]
                continue
            resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", text)
            events.setdefault(pid, []).append(begun.pop(pid, "") + resumed[1] if resumed else text)
    for pid, text in begun.items():  # killed in it
        events.setdefault(pid, []).append(text + ") = ?")
    return events


def test_seal(folder):
    """What a sealed child asks of the kernel: its four calls, and what ends in SIGSYS."""
    trace = os.path.join(folder, "trace")
    with Hostile(folder, STRACED) as target:
        target.top("strace", 30, least=0.9, wrapper=["strace", "-f", "-o", trace])
    sealed = traps = 0
    for pid, events in events_of(trace).items():
        starts = [i for i, e in enumerate(events) if e.startswith("seccomp(SECCOMP_SET_MODE_FILTER") and e.endswith("= 0")]
        if not starts:
            continue
        sealed += 1
        behind = events[starts[0] + 1:]
        for event, then in zip(behind, [*behind[1:], ""]):
            traps += "si_code=SYS_SECCOMP" in event
            killed = "<unfinished ...>" in event and then.startswith("+++")
            if killed or event.startswith(("---", "+++")) or ALLOWED.match(re.sub(r"\s+(\))?", r"\1 ", event)):
                continue
            check(f"strace: {event} of the sealed child is caught", "si_code=SYS_SECCOMP" in then, then)
    check("strace: there were sealed children", sealed >= 2, sealed)
    check("strace: there were attacks", traps > 100, traps)


def test_no_fork(folder):
    trace = os.path.join(folder, "trace-no-exec")
    with Hostile(folder, STRACED) as target:
        run("strace --no-exec", 20, "top", "--no-exec", str(target.pid), wrapper=["strace", "-f", "-o", trace])
    with open(trace) as f:
        check("--no-exec starts no child", "seccomp(" not in f.read())


def test_ignored_sigchld(folder):
    """Where children are not waited for, a pid may be another's soon: none that is gone is killed."""
    trace = os.path.join(folder, "trace-sigchld")
    with Hostile(folder, ["leave_early"]) as target:
        target.top("SIGCHLD ignored", 20, wrapper=["strace", "-f", "-e", "trace=kill", "-o", trace],
                   preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    with open(trace) as f:
        wrong = [line for line in f if "ESRCH" in line]
    check("SIGCHLD ignored: only children are killed", not wrong, wrong)


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.environ.get("CC", "cc").split()[0], "-O2", "-w", "-shared", "-fPIC", "-I", os.path.join(ROOT, "include"),
                        "-I", os.path.join(ROOT, "src"), "-o", os.path.join(folder, "hostile.so"),
                        os.path.join(ROOT, "tests/live/hostile.c")], check=True)
        with open(os.path.join(folder, "program.py"), "w") as f:
            f.write(PROGRAM)
        jobs = [(test_patience, spec) for spec in PATIENCE]
        jobs += [(test_trickle,), (test_group, "system calls", CALLS), (test_group, "words", WORDS),
                 (test_group, "deaths", DEATHS), (test_verify,), (test_name,), (test_difference,), (test_no_kill,), (test_no_exec,)]
        jobs += [(test_group, spec, {spec: n}) for spec, n in {**BEHIND, **BEHIND_FAILED}.items()]
        jobs += [(test_liar, spec) for spec in LIARS]
        jobs += [(test_seal,), (test_no_fork,), (test_ignored_sigchld,), (test_cores,), (test_buffers,)]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(job[0], folder, *job[1:]) for job in jobs]:
                done.result()
    try:
        check("nobody has connected", False, listener.accept())
    except BlockingIOError:
        check("nobody has connected", True)
    return results.finish()


sys.exit(main())
