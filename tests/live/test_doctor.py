#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What doctor finds, and its advice followed to the letter."""
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from support import PYHEAP, SYSTEM_PYTHON, VALIDATOR, Results, Sample

NOBODY = 65534
results = Results()
check = results.check
IDLE = "import sys; print('ready', flush=True); sys.stdin.read()"


def idle(folder, *args, code=IDLE):
    script = os.path.join(folder, "idle.py")
    with open(script, "w") as f:
        f.write(code)
    return Sample(SYSTEM_PYTHON, script, *args)


def doctor(name, target, *options, binary=PYHEAP, **kw):
    """(status, findings); text and JSON say the same."""
    r = subprocess.run([binary, "doctor", "--json", *options, str(target)], capture_output=True, text=True, **kw)
    if not check(f"{name}: a document", r.stdout.startswith("{"), (r.returncode, r.stderr)):
        return r.returncode, []
    doc = json.loads(r.stdout)
    check(f"{name}: it is valid", not list(VALIDATOR.iter_errors(doc)))
    check(f"{name}: its status is the program's", doc["status"] == r.returncode and doc["readable"] == (not r.returncode),
          (doc["status"], r.returncode))
    text = subprocess.run([binary, "doctor", *options, str(target)], capture_output=True, text=True, **kw)
    check(f"{name}: as text", text.returncode == r.returncode and
          all(f["area"] + ": " in text.stdout for f in doc["findings"]), text.stdout)
    return r.returncode, doc["findings"]


def problems(findings):
    return {f["area"]: f for f in findings if f["health"] == "problem"}


def commands(findings, word):
    return [a for f in findings for a in f["advice"] if a["command"] and word in a["text"]]


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def follow(name, advice, as_root=True):
    check(f"{name}: there is one command", len(advice) == 1, advice)
    for a in advice[:1]:
        r = subprocess.run(["sh", "-c", a["text"]], capture_output=True, text=True,
                           preexec_fn=None if a["as_root"] and as_root else None)
        check(f"{name}: `{a['text']}` works", r.returncode == 0, r.stderr)
        return r
    return None


def readable(folder):
    with idle(folder) as s:
        status, findings = doctor("a process", s.pid)
        check("a process can be read", status == 0 and not problems(findings), problems(findings))
        areas = {f["area"] for f in findings}
        check("all areas are told", areas >= {"user", "tracer", "dumpable", "yama", "seccomp", "permission", "memory", "interpreter",
                                              "capture", "layout", "replay", "files"}, areas)
        core = s.gcore()
        status, findings = doctor("a core", core)
        check("a core can be read", status == 0 and not problems(findings), findings)
        status, findings = doctor("--layout shipped", s.pid, "--layout", "shipped")
        check("a shipped layout is named and checked", status == 0 and
              any("shipped" in f["text"] for f in findings if f["area"] == "layout"), findings)


def another_user(folder):
    if os.getuid():
        print("skipped: not root: the advice for other users is not followed")
        return
    binary = os.path.join(folder, "pyheap")
    shutil.copy(PYHEAP, binary)
    os.chmod(folder, 0o755)
    with idle(folder) as s:
        status, findings = doctor("another user", s.pid, binary=binary, preexec_fn=as_nobody)
        check("another user may not", status == 4 and {"user", "permission"} <= problems(findings).keys(), findings)
        r = follow("another user", commands(findings, f"{binary} top"))
        check("as root there is a report", r and "objects of" in r.stdout, r)
        if ctypes.CDLL(None).prctl(23, 19, 0, 0, 0) == 1:  # PR_CAPBSET_READ, CAP_SYS_PTRACE
            follow("a capability", commands(findings, "setcap"))
            status, findings = doctor("with the capability", s.pid, binary=binary, preexec_fn=as_nobody)
            check("with the capability it can be read", status == 0, findings)


def undumpable(folder):
    if os.getuid():
        print("skipped: not root: no process that is not dumpable")
        return
    code = "import ctypes, os, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n" \
           "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n" + IDLE
    with idle(folder, code=code) as s:
        status, findings = doctor("not dumpable", s.pid, preexec_fn=as_nobody)
        check("one that is not dumpable", status == 4 and "dumpable" in problems(findings), findings)
        status, findings = doctor("not dumpable, as root", s.pid)
        check("root can read it", status == 0, findings)


def traced(folder):
    with idle(folder) as s:
        tracer = subprocess.Popen(["strace", "-o", os.devnull, "-p", str(s.pid)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while "TracerPid:\t0\n" in open(f"/proc/{s.pid}/status").read() and time.monotonic() < deadline:
            time.sleep(0.01)
        status, findings = doctor("traced", s.pid)
        check("a process that is traced", status == 4 and commands(findings, "kill"), findings)
        follow("traced", commands(findings, f"kill {tracer.pid}"))
        tracer.wait()
        status, findings = doctor("no longer traced", s.pid)
        check("it can be read when that has ended", status == 0, findings)


def memory(folder):
    with open(PYHEAP, "rb") as f:
        if b"__asan_init" in f.read():
            print("skipped: ulimit -v: AddressSanitizer itself needs terabytes of addresses")
            return
    code = "big = [bytes(1000) + b'x' for _ in range(150000)]\n" + IDLE
    with idle(folder, code=code) as s:
        def small():
            resource.setrlimit(resource.RLIMIT_AS, (320 << 20, resource.RLIM_INFINITY))
        status, findings = doctor("too little memory", s.pid, preexec_fn=small)
        check("too little memory: 7", status == 7 and "memory" in problems(findings), findings)
        low = commands(findings, "--low-memory")
        r = subprocess.run(["sh", "-c", low[0]["text"] if low else "false"], capture_output=True, text=True, preexec_fn=small)
        check("--low-memory does with less", r.returncode == 0, (low, r.stderr))
        limit = commands(findings, "ulimit -v")
        r = subprocess.run(["sh", "-c", f"{limit[0]['text'] if limit else 'false'} && exec {PYHEAP} top {s.pid}"],
                           capture_output=True, text=True, preexec_fn=small)
        check("without the limit there is a report", r.returncode == 0, (limit, r.stderr))


def cgroup(folder):
    """v1 or v2: a cgroup for pyheap that leaves too little, and the way out of it."""
    base = next((b for b in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup") if os.path.exists(f"{b}/cgroup.procs")), None)
    limit = "memory.limit_in_bytes" if base and base.endswith("memory") else "memory.max"
    path = f"{base}/pyheap-doctor-{os.getpid()}"
    try:
        os.mkdir(path)
        with open(f"{path}/{limit}", "w") as f:
            f.write(str(64 << 20))
    except OSError as e:
        print(f"skipped: no cgroup of our own: {e}")
        return
    code = "big = [bytes(1000) + b'x' for _ in range(150000)]\n" + IDLE
    def inside():
        with open(f"{path}/cgroup.procs", "w") as f:
            f.write("0")
    try:
        with idle(folder, code=code) as s:
            status, findings = doctor("a cgroup that is too small", s.pid, preexec_fn=inside)
            check("a cgroup that is too small: 7", status == 7 and "cgroup" in problems(findings)["memory"]["text"], findings)
            out = commands(findings, "cgroup.procs")
            r = subprocess.run(["sh", "-c", out[0]["text"] if out else "false"], capture_output=True, text=True,
                               preexec_fn=inside)
            check("outside of it there is a report", r.returncode == 0, (out, r.stderr))
    finally:
        deadline = time.monotonic() + 30
        while open(f"{path}/cgroup.procs").read() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.rmdir(path)


def namespaces(folder):
    if os.getuid() or subprocess.run(["unshare", "-U", "-r", "true"], stderr=subprocess.DEVNULL).returncode:
        print("skipped: no user namespaces here")
        return
    script = os.path.join(folder, "inside.py")
    with open(script, "w") as f:
        f.write(IDLE)
    p = subprocess.Popen(["unshare", "-U", "-r", "-m", SYSTEM_PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    status, findings = doctor("in a user namespace", p.pid)
    text = " ".join(f["text"] for f in findings if f["area"] == "namespaces")
    check("its namespaces are told", status == 0 and "user namespace" in text and "mount namespace" in text, findings)
    # from in there, what lies outside
    r = subprocess.run(["unshare", "-U", "-r", PYHEAP, "doctor", "--json", str(os.getpid())], capture_output=True, text=True)
    check("from within a user namespace", r.returncode == 4 and "user namespace that pyheap is in" in r.stdout, (r.returncode, r.stdout))
    p.kill()
    p.wait()


def others(folder):
    sleeper = subprocess.Popen(["sleep", "600"])
    status, findings = doctor("not Python", sleeper.pid)
    check("what is not Python: 3", status == 3 and "interpreter" in problems(findings), findings)
    sleeper.kill()
    zombie = sleeper.pid
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)  # it has died, and stays as it is
    status, findings = doctor("a zombie", zombie)
    check("a zombie: 2", status == 2 and "zombie" in json.dumps(findings), findings)
    sleeper.wait()
    status, findings = doctor("an ended process", zombie)
    check("an ended process: 2", status == 2, findings)


def incomplete_core(folder):
    """A core whose program is not here: which one, by its build-id; with it all is well."""
    place = os.path.join(folder, "there")
    os.mkdir(place)
    python = shutil.copy(os.path.realpath(SYSTEM_PYTHON), os.path.join(place, "python3"))
    script = os.path.join(folder, "cored.py")
    with open(script, "w") as f:
        f.write(IDLE)
    with Sample(python, script) as s:
        core = s.kernel_core()
        kept = os.path.join(folder, "root" + place)
        os.makedirs(kept)
        shutil.move(python, kept)
        status, findings = doctor("a core without its program", core)
        missing = [f for f in findings if f["area"] == "files" and place in f["text"]]
        check("the missing program is named, with its build-id", status != 0 and missing and "build-id" in missing[0]["text"] and
              "--sysroot" in json.dumps(missing[0]["advice"]), findings)
        status, findings = doctor("with --exe", core, "--exe", os.path.join(kept, "python3"))
        check("with --exe it can be read", status == 0, findings)
        status, findings = doctor("with --lib-search-path", core, "--lib-search-path", f"{folder}/none:{kept}")
        check("with --lib-search-path it can be read", status == 0, findings)
        cut = os.path.join(folder, "cut")
        shutil.copy(core, cut)
        os.truncate(cut, os.path.getsize(cut) * 9 // 10)
        status, findings = doctor("a core that was cut", cut, "--exe", os.path.join(kept, "python3"))
        check("what was cut off is told", any(f["area"] == "completeness" for f in findings), findings)


def main():
    for test in (readable, another_user, undumpable, traced, memory, cgroup, namespaces, others, incomplete_core):
        with tempfile.TemporaryDirectory() as folder:
            test(folder)
    return results.finish()


sys.exit(main())
