#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The static pyheap: one file that gives the same answers as the other one, also as the only
file of a chroot, as in a container that has neither a shell nor libraries nor a home."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

from support import PYHEAP, ROOT, SYSTEM_PYTHON, VALIDATOR, Results, Sample, interpreters

STATIC = os.path.abspath(os.environ.get("PYHEAP_STATIC") or os.path.join(ROOT, "build/static/pyheap"))
MAX_BYTES = 10 << 20
PT_DYNAMIC, PT_INTERP, DT_NEEDED = 2, 3, 1
NOBODY = 54321  # no line in /etc/passwd is needed for it
# what Docker gives to root, and what `kubectl debug --profile=general` adds
CONTAINER_CAPS = ("+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,"
                  "+sys_chroot,+mknod,+audit_write,+setfcap,+sys_ptrace")
PROGRAM = """
import decimal, gc, os, sys, xml.etree.ElementTree as ET
if len(sys.argv) > 1:  # anew, as exec makes it dumpable again
    code = open(__file__).read()
    os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
    os.execv(sys.executable, [sys.executable, "-c", code])
gc.disable()
class Session:
    def __init__(self, n):
        self.name, self.price, self.page = "s%d" % n, decimal.Decimal(n), ET.Element("p")
CACHE = {n: Session(n) for n in range(2000)}
for n in range(500):
    s = Session(n)
    s.self = s
del n, s
print("ready", flush=True)
sys.stdin.read()
"""
COMMANDS = [["top"], ["cycles"], ["why", "__main__.Session"], ["why", "xml.etree.ElementTree.Element[7]"],
            ["dominators"], ["threads"]]
results = Results()
check = results.check


def run(*args, **kw):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120, **kw)


def answer(name, r):
    """The report without what differs from run to run, or None."""
    if not check(f"{name}: an answer", r.returncode == 0, (r.returncode, r.stderr)):
        return None
    doc = json.loads(r.stdout)
    errors = list(VALIDATOR.iter_errors(doc))
    check(f"{name}: the report is valid", not errors, errors[:1])
    del doc["run"]
    return doc


def same(name, got, expected):
    check(f"{name}: the same report", got is not None and got == expected,
          [(k, got[k], expected[k]) for k in got if got[k] != expected.get(k)] if got and expected else got)


def command_line(command, target):
    return [command[0], target, *command[1:], "--json"]


# ---- the file ----------------------------------------------------------------------------------

def test_file():
    with open(STATIC, "rb") as f:
        elf = f.read()
    offset, size, n = (struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54))
    headers = [struct.unpack_from("<IIQQQQ", elf, offset + i * size) for i in range(n)]
    needed = [tag for kind, _, at, _, _, length in headers if kind == PT_DYNAMIC
              for tag, _ in struct.iter_unpack("<qQ", elf[at:at + length]) if tag == DT_NEEDED]
    check("no dynamic linker", PT_INTERP not in [h[0] for h in headers], headers)
    check("no libraries", not needed, needed)
    check("a small file", len(elf) < MAX_BYTES, len(elf))
    print(f"{len(elf)} bytes", flush=True)


def test_same(name, target):
    """Beside the dynamic one; the objects' own code is asked."""
    for command in COMMANDS:
        line = command_line(command, target.pid)
        same(f"{name}: {command}", answer(f"{name}: {command}", run(STATIC, *line)),
             answer(f"{name}: {command}, dynamic", run(PYHEAP, *line)))
    r = run(STATIC, "top", "--json", "--verify", "--strict", target.pid)
    doc = answer(f"{name}: --verify", r)
    check(f"{name}: the objects' own code has run", "compared, 0 differ" in r.stderr, r.stderr)
    check(f"{name}: all is exact", doc and doc["coverage"] == 1, doc and doc["coverage"])
    objects = []
    for i, (writer, reader) in enumerate(((STATIC, PYHEAP), (PYHEAP, STATIC))):
        path = os.path.join(target.dir.name, f"{i}.snap")
        for options in ([], ["--compress"]):
            r = run(writer, "snapshot", "-o", path, "--force", *options, target.pid)
            check(f"{name}: snapshot", r.returncode == 0, r.stderr)
            objects.append(run(reader, "objects", "--refs", "-f", "jsonl", "--no-header", path).stdout)
    check(f"{name}: the same snapshots", objects[0] and len(set(objects)) == 1, [len(o) for o in objects])


# ---- alone ---------------------------------------------------------------------------------------

class Box:
    """A folder that holds nothing but pyheap, as the root of a process."""

    def __init__(self, proc=True):
        self.dir = tempfile.TemporaryDirectory()
        self.root = self.dir.name
        self.proc = proc
        os.chmod(self.root, 0o755)
        shutil.copy(STATIC, os.path.join(self.root, "pyheap"))
        if proc:
            os.mkdir(os.path.join(self.root, "proc"))

    def run(self, *args, user=0, env=(), wrapper=(), **kw):
        mount = 'mount --bind /proc "$0/proc" && ' if self.proc else ""
        enter = [*wrapper, "env", "-i", *env, shutil.which("chroot"), f"--userspec=+{user}:+{user}", "--groups="]
        return run("unshare", "-m", "sh", "-c", mount + 'exec "$@"', self.root, *enter, self.root, "/pyheap", *args, **kw)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.dir.cleanup()


def test_alone(target):
    with Box() as box:
        for command in COMMANDS:
            line = command_line(command, target.pid)
            same(f"alone: {command}", answer(f"alone: {command}", box.run(*line)), answer("dynamic", run(PYHEAP, *line)))
        top = answer("dynamic", run(PYHEAP, "top", "--json", target.pid))
        for name, options in (
                ("as in a container", {"wrapper": ["setpriv", "--bounding-set", "-all," + CONTAINER_CAPS, "--inh-caps", "-all"]}),
                ("no such locale", {"env": ["LC_ALL=xx_XX.UTF-8", "LANGUAGE=xx", "TZ=Nowhere/At_All", "HOME=/nonexistent"]}),
                ("standard streams closed", {"wrapper": ["sh", "-c", 'exec "$@" <&- 2>&-', "sh"]})):
            same(name, answer(name, box.run("top", "--json", target.pid, **options)), top)
        r = box.run("snapshot", "-o", "/it.snap", target.pid)
        check("alone: a snapshot is written", r.returncode == 0, r.stderr)
        piped = os.path.join(target.dir.name, "piped.snap")
        r = box.run("snapshot", "-o", "-", target.pid, wrapper=["sh", "-c", f'exec "$@" >"{piped}"', "sh"])
        check("alone: a snapshot is piped", r.returncode == 0, r.stderr)
        inside = answer("alone: a snapshot", box.run("top", "--json", "/it.snap"))
        for path in (piped, os.path.join(box.root, "it.snap")):
            same("alone: a snapshot", inside, answer("a snapshot of a box", run(PYHEAP, "top", "--json", path)))
        r = box.run("top", "-", input="no core")
        check("alone: no room for standard input: 2", r.returncode == 2 and "/var/tmp" in r.stderr and "TMPDIR" in r.stderr,
              (r.returncode, r.stderr))
        check("alone: nothing is left behind", sorted(os.listdir(box.root)) == ["it.snap", "proc", "pyheap"],
              os.listdir(box.root))


def test_nobody(program):
    with Box() as box, Sample(SYSTEM_PYTHON, program, str(NOBODY)) as target:
        name = "without a name"
        r = box.run("top", "--json", target.pid, user=NOBODY)
        same(name, answer(name, r), answer("dynamic", run(PYHEAP, "top", "--json", target.pid)))
        r = box.run("top", target.pid, user=NOBODY + 1)
        check("another user without a name: 4", r.returncode == 4 and str(NOBODY + 1) in r.stderr, (r.returncode, r.stderr))


def test_brought_along(program):
    """The target's debug information is nowhere: what was read of it elsewhere is brought along."""
    inside = os.path.join(os.path.dirname(program), "inside.sh")
    with open(inside, "w") as f:
        f.write('exec unshare -m sh -c \'mount -t tmpfs none /usr/lib/debug && exec "$0" "$@"\' "$@"\n')
    with Box() as box, Sample("/bin/sh", inside, SYSTEM_PYTHON, program) as target:
        r = box.run("top", "--json", target.pid)
        check("no debug information: 5, if pyheap does not know the build", r.returncode == 0 or
              (r.returncode == 5 and "--debug-file" in r.stderr), (r.returncode, r.stderr))
        cache = os.path.join(box.root, "cache")
        os.mkdir(cache)
        doc = answer("dynamic", run(PYHEAP, "top", "--json", target.pid, env={**os.environ, "XDG_CACHE_HOME": cache}))
        r = box.run("top", "--json", target.pid, env=["XDG_CACHE_HOME=/cache"])
        same("a layout brought along", answer("a layout brought along", r), doc)


def test_proc(target):
    """/proc is not there, or that of others."""
    with Box(proc=False) as box:
        r = box.run("top", target.pid)
        check("no /proc: 2", r.returncode == 2 and "/proc is not mounted" in r.stderr, (r.returncode, r.stderr))
    core = target.gcore()
    hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    for name, pyheap in (("static", STATIC), ("dynamic", PYHEAP)):
        r = run("unshare", "-p", "-f", pyheap, "top", target.pid)
        check(f"{name}: /proc of others: 2", r.returncode == 2 and "another PID namespace" in r.stderr,
              (r.returncode, r.stderr))
        r = run("unshare", "-p", "-f", "--mount-proc", pyheap, "top", target.pid)
        check(f"{name}: a process that is not in /proc: 2", r.returncode == 2 and f"no process {target.pid}" in r.stderr,
              (r.returncode, r.stderr))
        r = run(*hide, pyheap, "top", "--json", core)
        doc = answer(f"{name}: a core without /proc", r)
        check(f"{name}: a core without /proc is estimated where it has to be", doc and doc["coverage"] < 1 and
              "/proc/self/maps" in r.stderr, (doc and doc["coverage"], r.stderr))
        r = run(*hide, pyheap, "top", "-", input="no core")
        check(f"{name}: standard input without /proc: 2", r.returncode == 2 and "/proc/self/fd" in r.stderr,
              (r.returncode, r.stderr))


def main():
    test_file()
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "program.py")
        with open(program, "w") as f:
            f.write(PROGRAM)
        # Debian's is linked to a fixed address, that of pyenv is not
        for python in sorted({SYSTEM_PYTHON, list(interpreters())[-1]}):
            with Sample(python, program) as target:
                test_same(python, target)
        if os.geteuid():
            print("skipped: not root: no chroot")
            return
        with Sample(SYSTEM_PYTHON, program) as target:
            test_alone(target)
            test_proc(target)
        test_nobody(program)
        test_brought_along(program)


main()
sys.exit(results.finish())
