#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Layouts without debug information: shipped ones and files give the reports that debug
information gives; what does not fit, contradicts another one or is not known is refused."""
import functools
import glob
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

from support import ROOT, SYSTEM_PYTHON, VALIDATOR, Results, Sample, pyheap, some_interpreters

results = Results()
check = results.check
QUESTIONS = (["top"], ["cycles"], ["threads"], ["why", "__main__.Session"], ["objects", "--refs", "-f", "jsonl"])
PROGRAM = """
import array, collections, datetime, functools, gc, sys, weakref
gc.disable()
class Session:
    __slots__ = ("name", "when", "items", "__weakref__")
    def __init__(self, n):
        self.name, self.when, self.items = "s%d" % n, datetime.datetime.now(datetime.timezone.utc), collections.deque([n])
class Plain: pass
@functools.lru_cache(None)
def f(n): return [n]
CACHE = {n: Session(n) for n in range(500)}
PLAIN = [Plain() for n in range(100)]
for n, p in enumerate(PLAIN): p.self, p.array, p.set, p.call = p, array.array("d", [n]), {n, "x"}, functools.partial(f, n)
GEN = (x for x in [1, 2]); next(GEN)
WEAK = [weakref.ref(s) for s in CACHE.values()]
for n in range(300): f(n)
del n, p
print("ready", flush=True)
sys.stdin.read()
"""
# rows without which nothing can be right, each moved by 8 bytes
VITAL = ("PyInterp_gc", "PyInterp_modules", "PyInterp_sysdict", "PyInterp_threads",
         "GC_generations", "GCHead_prev", "PyObject_ob_type", "PyVarObject_ob_size", "PyType_tp_basicsize",
         "PyType_tp_flags", "PyType_tp_base", "PyType_tp_members", "PyDict_ma_keys", "PyDict_ma_values",
         "DictKeys_dk_nentries", "DictKeys_dk_indices", "PyList_ob_item", "PyTuple_ob_item", "PySet_table",
         "PyFunction_func_code", "PyFunction_func_globals", "PyCode_co_consts", "PyHeapType_ht_qualname",
         "PyModule_md_dict", "PyCell_ob_ref")


def build_id(path):
    out = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    return re.search(r"Build ID: (\w+)", out).group(1)


def other_build(path, folder, name="python3"):
    """A copy of a program under a build-id that nobody knows, without its debug information."""
    old = build_id(path)
    new = old[:-8] + os.urandom(4).hex()
    copy = os.path.join(folder, name)
    with open(path, "rb") as f:
        data = f.read()
    with open(copy, "wb") as f:
        f.write(data.replace(bytes.fromhex(old), bytes.fromhex(new)))
    os.chmod(copy, 0o755)
    subprocess.run(["objcopy", "--strip-debug", "-R", ".gnu_debuglink", copy], check=True)
    return copy, old, new


def start(python, folder):
    script = os.path.join(folder, "program.py")
    with open(script, "w") as f:
        f.write(PROGRAM)
    sample = Sample(python, script)
    sample.stands_still()  # it has said `ready`, and may not be at its read yet
    return sample


def answers(name, sample, *options):
    """What it has to say to all questions, and where the layout came from."""
    said, source = [], None
    for question in QUESTIONS:
        form = [] if "-f" in question else ["--json"]
        r = pyheap(question[0], *form, *options, sample.pid, *question[1:])
        if not check(f"{name}: {question[0]}", r.returncode == 0, r.stderr):
            return None, None
        if not form:
            said.append(r.stdout)
            continue
        doc = json.loads(r.stdout)
        check(f"{name}: {question[0]} is valid", not list(VALIDATOR.iter_errors(doc)))
        source = doc.pop("run")["layout"]["source"]
        doc["totals"].pop("memory")
        said.append(doc)
    return said, source


def rows_of(text):
    return [line for line in text.splitlines() if line[:2] in ("F ", "S ", "E ")]


def is_shipped(python):
    """Whether layouts/ has this version and build."""
    for path in glob.glob(os.path.join(ROOT, "layouts/*.layout")):
        with open(path) as f:
            head = dict(f.readline().split(None, 1) for _ in range(5))
        build = head["build"].split()
        if python["version"] in head["python"].split() and ("debug" in build) == python["debug_build"] and (
                "free-threaded" in build) == python.get("free_threaded", False):
            return True
    return False


def same_reports(results, python, *where):
    """Debug information, a shipped layout, and a file of it without its build-id. where:
    options that tell pyheap where the interpreter's files are."""
    check = results.check
    with tempfile.TemporaryDirectory() as folder, start(python, folder) as sample:
        name = f"{python}: layouts"
        truth, source = answers(name, sample, *where)
        check(f"{name}: from debug information", source == "dwarf", source)
        if is_shipped(truth[0]["python"]):
            shipped, source = answers(f"{name}: shipped", sample, "--layout", "shipped", *where)
            check(f"{name}: a shipped one", source == "shipped", source)
            check(f"{name}: a shipped one gives the same reports", shipped == truth)
            # of all of the series only its own fits, or one that is the same
            series = truth[0]["python"]["version"].rpartition(".")[0]
            shipped, source = answers(f"{name}: {series}", sample, "--layout", series, *where)
            check(f"{name}: one of {series} gives the same reports", shipped == truth)
        else:  # a suite that moves on has a newer one
            r = pyheap("top", "--layout", "shipped", *where, sample.pid)
            check(f"{name}: there is no layout of it", r.returncode == 5, (r.returncode, r.stderr))

        layout = os.path.join(folder, "a.layout")
        r = pyheap("layout", *where, "-o", layout, sample.pid)
        check(f"{name}: is written", r.returncode == 0, r.stderr)
        with open(layout) as f:
            text = f.read()
        check(f"{name}: has a version", re.search(r"^python 3\.\d+\.\d+$", text, re.M), text[:200])
        with open(layout, "w") as f:
            f.write(re.sub(r"^build-id .*\n", "", text, flags=re.M))
        by_file, source = answers(f"{name}: file", sample, "--layout", layout, *where)
        check(f"{name}: a file", source == "file", source)
        check(f"{name}: a file gives the same reports", by_file == truth)
        again = pyheap("layout", "--layout", layout, sample.pid)
        check(f"{name}: what is read is what was written", rows_of(again.stdout) == rows_of(text), again.stderr)
        doc = json.loads(pyheap("layout", "--json", *where, sample.pid).stdout)
        check(f"{name}: as JSON", not list(VALIDATOR.iter_errors(doc)) and len(doc["rows"]) == len(rows_of(text)))
        with open(f"/proc/{sample.pid}/maps") as f:
            files = {line.split()[-1] for line in f if re.search(r"/(libpython3\.\d+t?d?\.so\.1\.0|python3\.\d+t?d?)$", line)}
        # a small program may have all in its library
        r = pyheap("layout", *where, max(files, key=os.path.getsize))
        check(f"{name}: of the program that does not run", rows_of(r.stdout) == rows_of(text),
              set(rows_of(r.stdout)) ^ set(rows_of(text)))


def refused(name, sample, layout_text, folder, status=5, has="", *options):
    path = os.path.join(folder, "wrong.layout")
    with open(path, "w") as f:
        f.write(layout_text)
    r = pyheap("top", "--layout", path, *options, sample.pid)
    check(f"{name}: is refused", r.returncode == status and has in r.stderr and not r.stdout,
          (r.returncode, r.stdout[:200], r.stderr))


def top_of(sample, *options):
    r = pyheap("top", "--json", *options, sample.pid)
    doc = json.loads(r.stdout) if r.returncode == 0 else {}
    doc.pop("run", None)
    doc.get("totals", {}).pop("memory", None)
    return r, doc


def wrong_layouts(python):
    with tempfile.TemporaryDirectory() as folder, start(python, folder) as sample:
        text = re.sub(r"^build-id .*\n", "", pyheap("layout", sample.pid).stdout, flags=re.M)
        truth = top_of(sample)[1]
        path = os.path.join(folder, "moved.layout")
        for row in VITAL:
            moved, n = re.subn(rf"^F {row} (\d+)", lambda m, row=row: f"F {row} {int(m.group(1)) + 8}", text, flags=re.M)
            with open(path, "w") as f:
                f.write(moved)
            r, doc = top_of(sample, "--layout", path)
            d = pyheap("doctor", "--layout", path, sample.pid) if row in ("PyInterp_gc", "PySet_table", "PyList_ob_item") else r
            check(f"{python}: {row} moved: doctor ends as top does", d.returncode == r.returncode, (d.returncode, r.returncode))
            # what a reader cannot read the objects' own code may tell all the same
            check(f"{python}: {row} eight bytes further", not n or r.returncode == 5 or doc == truth,
                  (r.returncode, doc.get("totals"), r.stderr))
        lines = text.splitlines(keepends=True)
        first = next(i for i, line in enumerate(lines) if line.startswith("F "))
        refused(f"{python}: a row short", sample, "".join(lines[:first] + lines[first + 1:]), folder, 5, "another version")
        refused(f"{python}: a row twice", sample, text + lines[first], folder, 2, "cannot be understood")
        refused(f"{python}: a word for a number", sample, text.replace(lines[first], "F PyRuntime_interpreters_head x\n"),
                folder, 2, "cannot be understood")
        refused(f"{python}: not a layout", sample, "hello\n", folder, 2, "is not a layout")
        refused(f"{python}: empty", sample, "", folder, 2, "is not a layout")
        refused(f"{python}: of another machine", sample, re.sub("^machine .*", "machine aarch64", text, flags=re.M), folder,
                5, "another machine")
        refused(f"{python}: of another build", sample, re.sub("^build .*", "build debug", text, flags=re.M), folder, 5,
                "another machine or kind")
        r = pyheap("top", "--layout", os.path.join(folder, "none"), sample.pid)
        check(f"{python}: a file that is not there", r.returncode == 2 and "none" in r.stderr, r.stderr)
        r = pyheap("top", "--layout", "3.99.1", sample.pid)
        check(f"{python}: a version of another series", r.returncode == 5, (r.returncode, r.stderr))


def folders(python):
    """The user's folder is asked, and not one that others can write; two that contradict
    each other are refused."""
    with tempfile.TemporaryDirectory() as folder:
        copy, _, _ = other_build(python, folder)
        own = os.path.join(folder, "config/pyheap/layouts")
        os.makedirs(own)
        env = {**os.environ, "XDG_CONFIG_HOME": os.path.join(folder, "config")}
        with start(copy, folder) as sample:
            r = pyheap("top", "--json", sample.pid)
            doc = json.loads(r.stdout)
            check("an unknown build: by its version", doc["run"]["layout"]["source"] == "shipped", doc["run"])
            text = pyheap("layout", sample.pid).stdout
            with open(os.path.join(own, "mine.layout"), "w") as f:
                f.write(text)
            doc = json.loads(pyheap("top", "--json", sample.pid, env=env).stdout)
            check("a layout in the user's folder", doc["run"]["layout"]["source"] == "file", doc["run"])
            os.chmod(own, 0o777)
            doc = json.loads(pyheap("top", "--json", sample.pid, env=env).stdout)
            check("a folder that all can write is passed over", doc["run"]["layout"]["source"] == "shipped", doc["run"])
            os.chmod(own, 0o755)
            # files that cannot be used are in nobody's way
            with open(os.path.join(own, "mine.layout"), "w") as f:
                f.write(re.sub("^F PyGen_gi_name .*\n", "", text, flags=re.M))
            with open(os.path.join(own, "garbage.layout"), "w") as f:
                f.write("garbage")
            for options in ([], ["--layout", "shipped"], ["--layout", doc["python"]["version"]]):
                r = pyheap("top", "--json", *options, sample.pid, env=env)
                check(f"a stale file and garbage in the folder {options}", r.returncode == 0 and
                      json.loads(r.stdout)["run"]["layout"]["source"] == "shipped", r.stderr)
            os.unlink(os.path.join(own, "garbage.layout"))
            # nothing in this program proves where that is
            other, n = re.subn(r"^F PyAsyncGen_ag_finalizer (\d+)",
                               lambda m: f"F PyAsyncGen_ag_finalizer {int(m.group(1)) + 8}", text, flags=re.M)
            check("there is such a row", n == 1)
            other = re.sub(r"^build-id .*\n", "", other, flags=re.M)
            with open(os.path.join(own, "mine.layout"), "w") as f:
                f.write(other)
            r = pyheap("top", sample.pid, env=env)
            check("two that fit and contradict each other are refused",
                  r.returncode == 5 and "contradict" in r.stderr and "PyAsyncGen_ag_finalizer" in r.stderr, r.stderr)


BUSY = """
import random, threading
class N:
    def __init__(self): self.a, self.me = [{}], self
def work():
    d = {}
    while True:
        for i in range(500): d[random.randrange(2000)] = [N(), (i, str(i)), {i: i}]
        if len(d) > 1500: d.clear()
        def f(n): return n if n == 0 else f(n - 1)
        f(50); list(map(str, range(100))); next(x for x in range(10))
for _ in range(3): threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


def busy(python):
    """What fits, fits at any moment: also while it collects, and without a stop."""
    rounds = int(os.environ.get("BUSY_ROUNDS", 40)) // 2
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "busy.py")
        with open(script, "w") as f:
            f.write(BUSY)
        with Sample(python, script) as sample:
            version = json.loads(pyheap("top", "--json", sample.pid).stdout)["python"]["version"]
            series = version.rpartition(".")[0]
            for options in (["shipped"], [series], ["shipped", "--pause", "none"], [series, "--pause", "none"]):
                wrong = [r.stderr for r in (pyheap("top", "-q", "--layout", *options, sample.pid) for _ in range(rounds))
                         if r.returncode]
                check(f"{python}: busy, --layout {' '.join(options)}: {rounds} answers", not wrong, wrong[:2])


def unknown_version(python):
    """Nothing is known of this one: no debug information, no build-id, no version."""
    with tempfile.TemporaryDirectory() as folder:
        copy, _, _ = other_build(python, folder)
        out = subprocess.run([python, "-c", "import sys; print(sys.hexversion)"], capture_output=True, text=True, check=True)
        real = int(out.stdout)
        made_up = (real & 0xffff00ff) | 0x6300  # patch level 99
        with open(copy, "rb") as f:
            data = f.read()
        address = int(subprocess.run(["readelf", "-W", "--dyn-syms", copy], capture_output=True, text=True,
                                     check=True).stdout.split("Py_Version")[0].splitlines()[-1].split()[1], 16)
        sections = subprocess.run(["readelf", "-W", "-S", copy], capture_output=True, text=True, check=True).stdout
        at = next(int(m[2], 16) + address - int(m[1], 16)
                  for m in re.finditer(r" \.rodata +PROGBITS +(\w+) (\w+) (\w+)", sections))
        check("Py_Version is there", int.from_bytes(data[at:at + 4], "little") == real)
        with open(copy, "wb") as f:
            f.write(data[:at] + made_up.to_bytes(4, "little") + data[at + 4:])
        with start(copy, folder) as sample:
            r = pyheap("top", sample.pid)
            check("a version that nobody knows: 5", r.returncode == 5 and not r.stdout and ".99" in r.stderr, r.stderr)
            near = re.search(r"--layout (3\.\d+)", r.stderr)
            if check("the series is named", near, r.stderr):
                # it says it is .99, and its own sys says that it is not
                r = pyheap("top", "--layout", near.group(1), sample.pid)
                check("which is checked, and refused", r.returncode == 5 and "sys.hexversion" in r.stderr, r.stderr)
            r = pyheap("doctor", sample.pid)
            check("doctor says so, too", r.returncode == 5 and "layout -o" in r.stdout, r.stdout)


def debuginfod(python):
    """A server that has it, one that has not, and one that does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        copy, old, new = other_build(python, folder)
        debug = f"/usr/lib/debug/.build-id/{old[:2]}/{old[2:]}.debug"
        if not check("its debug information is installed", os.path.exists(debug), debug):
            return
        place = os.path.join(folder, "srv/buildid", new)
        os.makedirs(place)
        with open(debug, "rb") as f, open(os.path.join(place, "debuginfo"), "wb") as to:
            to.write(f.read().replace(bytes.fromhex(old), bytes.fromhex(new)))

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=os.path.join(folder, "srv")))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with start(copy, folder) as sample:
            def source(url, *options, client="client"):
                env = {**os.environ, "XDG_CACHE_HOME": os.path.join(folder, "cache"), "DEBUGINFOD_URLS": url,
                       "DEBUGINFOD_CACHE_PATH": os.path.join(folder, client), "DEBUGINFOD_TIMEOUT": "5"}
                r = pyheap("top", "--json", *options, sample.pid, env=env)
                if not check(f"debuginfod {options}: an answer", r.returncode == 0, r.stderr):
                    return None, r
                return json.loads(r.stdout)["run"]["layout"]["source"], r
            check("debuginfod no", source(url, "--debuginfod", "no")[0] == "shipped")
            check("a server without it", source(url + "/nothing", client="other")[0] == "shipped")
            check("a server that is not there", source("http://127.0.0.1:9", client="third")[0] == "shipped")
            found, r = source(url)
            check("a server that has it", found == "debuginfod", found)
            check("it says that it asks", "DEBUGINFOD_URLS" in r.stderr, r.stderr)
            r = pyheap("top", "--debuginfod", "yes", sample.pid, env={k: v for k, v in os.environ.items() if k != "DEBUGINFOD_URLS"})
            check("yes without a server", r.returncode == 2, r.stderr)
        server.shutdown()


def stripped(python):
    """pyenv's libpython without debug information and without symbols but those exported."""
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(python)))
    libs = [f for f in os.listdir(os.path.join(prefix, "lib")) if re.fullmatch(r"libpython3\.\d+\.so\.1\.0", f)]
    if not libs:
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(prefix, "lib", libs[0]), folder)
        subprocess.run(["strip", os.path.join(folder, libs[0])], check=True)
        script = os.path.join(folder, "run")
        with open(script, "w") as f:
            f.write(f'#!/bin/sh\nLD_LIBRARY_PATH={folder} exec {python} "$@"\n')
        os.chmod(script, 0o755)
        with start(script, folder) as sample:
            name = f"{python}: libpython stripped"
            env = {**os.environ, "XDG_CACHE_HOME": os.path.join(folder, "cache")}
            docs = [pyheap("top", "--json", *options, sample.pid, env=env)
                    for options in ([], ["--debug-file", os.path.join(prefix, "lib", libs[0])])]
            if not check(f"{name}: answers", not docs[0].returncode and not docs[1].returncode, [d.stderr for d in docs]):
                return
            without, having = (json.loads(d.stdout) for d in docs)
            check(f"{name}: shipped", without["run"]["layout"]["source"] == "shipped", without["run"])
            check(f"{name}: from debug information", having["run"]["layout"]["source"] == "dwarf", having["run"])
            for doc in (without, having):
                doc.pop("run")
                doc["totals"].pop("memory")
            check(f"{name}: the same report", without == having,
                  [(k, without[k], having[k]) for k in ("coverage", "notes", "totals") if without[k] != having[k]])


def main():
    for python in some_interpreters():
        same_reports(results, python)
        if python != SYSTEM_PYTHON:
            stripped(python)
    real = os.path.realpath(SYSTEM_PYTHON)
    debug = real + "d"
    if os.path.exists(debug):
        same_reports(results, debug)
    for python in list(some_interpreters())[:2]:
        wrong_layouts(python)
    for python in list(some_interpreters())[:1] + list(some_interpreters())[-1:]:
        busy(python)
    folders(real)
    unknown_version(real)
    debuginfod(real)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
