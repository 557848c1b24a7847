# SPDX-License-Identifier: GPL-2.0-or-later
"""What the live tests share: interpreters, samples, cores, validated reports."""
import concurrent.futures
import contextlib
import filecmp
import glob
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

import jsonschema

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYHEAP = os.path.abspath(os.environ.get("PYHEAP", os.path.join(ROOT, "build/pyheap")))
SYSTEM_PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
with open(os.path.join(ROOT, "docs/report.schema.json")) as f:
    SCHEMA = json.load(f)
VALIDATOR = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)


def interpreters():
    """The system's, and one of each minor version that pyenv has."""
    yield SYSTEM_PYTHON
    for minor in range(8, 14):
        for path in sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor}.*/bin/python3")))[-1:]:
            yield path


def some_interpreters():
    """All of them, or with FEW_PYTHONS the system's, the oldest and the newest: what these
    tests have to say of versions the sanitizers need not hear again."""
    every = list(interpreters())
    return every if not os.environ.get("FEW_PYTHONS") else every[:2] + every[-1:]


def version_of(python):
    out = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    return tuple(int(x) for x in re.match(r"Python (\d+)\.(\d+)\.(\d+)", out).groups())


READY_S = 300  # for a program that never says so


class Results:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, ok, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAIL {name}: {str(detail)[:2000]}", flush=True)
        return ok

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def pyheap(*args, **kw):
    return subprocess.run([PYHEAP, *[str(a) for a in args]], capture_output=True, text=True, **kw)


def report(results, command, *args):
    """The command's JSON, valid by the schema; None when it failed."""
    r = pyheap(command, "--json", *args)
    if not results.check(f"pyheap {command} --json", r.returncode == 0, r.stderr):
        return None
    doc = json.loads(r.stdout)
    errors = list(VALIDATOR.iter_errors(doc))
    results.check(f"{command}: the report is valid", not errors, errors[:1])
    return doc


def types_of(doc):
    """Rows by name. Names are unique in a report."""
    return {t["type"]: t for t in doc["types"]}


class Sample:
    """A sample program that is ready, in a folder of its own for its core. python may be a
    list: what it is started with, and all of it when script is None."""

    def __init__(self, python, script, *args, stderr=None, env=None):
        self.dir = tempfile.TemporaryDirectory()
        command = [python] if isinstance(python, str) else list(python)
        if script:
            command.append(script if os.path.isabs(script) else os.path.join(ROOT, "samples", script))
        self.proc = subprocess.Popen([*command, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=stderr, text=True, bufsize=1, cwd=self.dir.name,
                                     env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
                                     start_new_session=True)
        self.pid = self.proc.pid
        with contextlib.suppress(PermissionError):  # it may be another user's by now
            resource.prlimit(self.pid, resource.RLIMIT_CORE, (-1, -1))
        patience = threading.Timer(READY_S, self.kill)
        patience.start()
        line = self.proc.stdout.readline()
        patience.cancel()
        self.line = line  # "ready", and perhaps more
        if not line.startswith("ready"):
            self.kill()
            raise RuntimeError(f"{script} on {python} is not ready: {line!r}")
        self.ready = line

    def stands_still(self):
        """Waits: it has said ready before it does."""
        state = None
        while state != "S":
            time.sleep(0.01)
            with open(f"/proc/{self.pid}/stat") as f:
                state = f.read().rpartition(")")[2].split()[0]

    def kill(self):
        """With what it has forked."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def ask(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()
        return self.proc.stdout.readline()

    def gcore(self):
        base = os.path.join(self.dir.name, "gcore")
        r = subprocess.run(["gcore", "-o", base, str(self.pid)], capture_output=True, text=True)
        path = f"{base}.{self.pid}"
        if not os.path.exists(path):
            raise RuntimeError("gcore made no core: " + r.stderr)
        return path

    def kernel_core(self):
        """Ends the program, before it does anything else if it is stopped. Where core_pattern
        leads elsewhere there is no core, and the test fails."""
        os.kill(self.pid, signal.SIGABRT)
        os.kill(self.pid, signal.SIGCONT)
        self.proc.wait()
        found = glob.glob(os.path.join(self.dir.name, "core*"))
        if not found:
            with open("/proc/sys/kernel/core_pattern") as f:
                raise RuntimeError("the kernel left no core in the working directory; core_pattern is " + f.read())
        return found[0]

    def close(self):
        self.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()
        self.dir.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


ORACLE = os.path.join(ROOT, "tests/oracle")
WORKLOADS = sorted(os.path.basename(p) for p in glob.glob(os.path.join(ORACLE, "workload_*.py")))


class Holders(Sample):
    """The program with the markers; its ready line has facts."""

    def __init__(self, python):
        super().__init__(python, os.path.join(ORACLE, "holders.py"))
        self.facts = json.loads(self.ready.split(None, 1)[1])
        self.stands_still()

    def evaluate(self, reports):
        path = os.path.join(self.dir.name, "reports")
        with open(path, "w") as f:
            json.dump(reports, f)
        answer = self.ask(path)
        if answer != "done\n":
            raise RuntimeError(f"no verdicts: {answer!r}")
        with open(path + ".verdicts") as f:
            return json.load(f)


def read_objects(path):
    with open(path) as f:
        return {o["address"]: o for o in map(json.loads, f)}


def same_in_cores(results, name, sample, live):
    """Cores of a target that stands still have the objects that it has itself."""
    for kind, make in (("gcore", sample.gcore), ("kernel core", sample.kernel_core)):
        core = make()
        r = pyheap("objects", "--refs", "-f", "jsonl", "-o", live + "-core", "--force", core)
        if results.check(f"{name}: pyheap objects of a {kind}", r.returncode == 0, r.stderr):
            results.check(f"{name}: {kind} as live", filecmp.cmp(live, live + "-core", shallow=False))
        os.unlink(core)


def interpreters_apart(results, name, sample, live, *where):
    """Of several interpreters: each one's objects, and what they share, are all objects, each once,
    in a snapshot as live."""
    rows = {}
    with open(live) as f:
        for line in f:
            rows.setdefault(json.loads(line).get("interpreter"), []).append(line)
    if None in rows:
        return
    saved, command = live + "-snapshot", ("objects", "--refs", "-f", "jsonl")
    r = pyheap("snapshot", "-q", *where, "-o", saved, "--force", sample.pid)
    results.check(f"{name}: snapshot", r.returncode == 0, r.stderr)
    with open(live) as f:
        results.check(f"{name}: snapshot as live", pyheap(*command, saved).stdout == f.read())
    for number, lines in rows.items():
        r = pyheap(*command, "--interpreter", number, saved)
        results.check(f"{name}: interpreter {number} in a snapshot", r.stdout == "".join(lines), r.stderr)
    for number in (max(n for n in rows if n != "shared"), "shared"):
        r = pyheap(*command, "--interpreter", number, *where, sample.pid)
        results.check(f"{name}: interpreter {number} live", r.stdout == "".join(rows[number]), r.stderr)


def oracle(results, name, python, workload, *where, cores=False, threads=0):
    """Every object of a workload, as pyheap sees it and as its twin says; with cores also in
    two cores of it, with threads made by so many. where: options that tell pyheap where the
    interpreter's files are."""
    with tempfile.TemporaryDirectory() as folder:
        truth, ours, top = (os.path.join(folder, n) for n in ("truth", "ours", "top"))
        try:
            # its "ready" comes from the twin, when that has written everything
            with open(os.path.join(folder, "stderr"), "w") as said:
                target = Sample(python, os.path.join(ORACLE, "truth.py"), *(("--threads", str(threads)) if threads else ()),
                                truth, os.path.join(ORACLE, workload), stderr=said)
        except RuntimeError as e:
            with open(os.path.join(folder, "stderr")) as said:
                results.check(f"{name}: the truth is known", False, f"{e}\n{said.read()}")
            return
        with target:
            for path, command in ((ours, ["objects", "--refs", "-f", "jsonl"]), (top, ["top", "--json", "--verify"])):
                r = pyheap(*command, *where, "-o", path, target.pid)
                results.check(f"{name}: pyheap {command[0]}", r.returncode == 0, r.stderr)
                if "--verify" in command:
                    results.check(f"{name}: readers agree with the objects' own code",
                                  "compared, 0 differ" in r.stderr, r.stderr)
            interpreters_apart(results, name, target, ours, *where)
            if cores:
                same_in_cores(results, name, target, ours)
        r = subprocess.run([sys.executable, os.path.join(ORACLE, "compare.py"), ours, truth, top], capture_output=True,
                           text=True)
        print(f"{name}: {r.stdout.splitlines()[-1] if r.stdout else r.stderr}", flush=True)
        results.check(f"{name}: as gc and sys say", r.returncode == 0, r.stdout + r.stderr)


def oracles(results, jobs):
    """oracle(results, *job, **options) for each (job, options), as many at a time as there are processors."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(oracle, results, *job, **options) for job, options in jobs]:
            done.result()
