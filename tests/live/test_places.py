#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Interpreters wherever they are: linked in, stripped, renamed, deleted, loaded twice, in
other namespaces. Each is read as the same interpreter is at its usual place."""
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

from support import PYHEAP, SYSTEM_PYTHON, Results, Sample, pyheap, report, some_interpreters, types_of, version_of

results = Results()
check = results.check
HERE = os.path.dirname(os.path.abspath(__file__))
CC = os.environ.get("CC", "cc").split()
MARKERS = 1234
CLASS = f"class Marker: pass\nkeep = [Marker() for _ in range({MARKERS})]\n"
OTHER = "class Other: pass\nkeep = [Other() for _ in range(77)]\n"
SCRIPT = "import sys\n" + CLASS + "print('ready', flush=True)\nsys.stdin.readline()\n"
FACTS = """
import json, sys, sysconfig
facts = {k: sysconfig.get_config_var(k) for k in ("INCLUDEPY", "LIBPL", "LIBRARY", "LIBDIR", "LDVERSION", "LIBS",
                                                  "SYSLIBS")}
with open("/proc/self/maps") as f:
    print(json.dumps({**facts, "prefix": sys.base_prefix, "shared": "/libpython" in f.read()}))
"""
ENV = {"PYTHONHASHSEED": "0"}


# ---- ELF files --------------------------------------------------------------------------

def segments(path, kind):
    with open(path, "rb") as f:
        data = f.read()
    start, size, n = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    for i in range(n):
        p_type, _, offset, _, _, filesz = struct.unpack_from("<IIQQQQ", data, start + i * size)
        if p_type == kind:
            yield data[offset:offset + filesz]


def loader_of(path):
    return next(segments(path, 3)).rstrip(b"\0").decode()


def build_id(path):
    for notes in segments(path, 4):
        at = 0
        while at + 12 <= len(notes):
            namesz, descsz, kind = struct.unpack_from("<III", notes, at)
            desc = at + 12 + (namesz + 3 & ~3)
            if kind == 3 and notes[at + 12:at + 15] == b"GNU":
                return notes[desc:desc + descsz].hex()
            at = desc + (descsz + 3 & ~3)
    return None


def strip(path, to, *options):
    subprocess.run(["strip", *options, "-o", to, path], check=True)
    return to


def without_headers(path, to):
    """What `objcopy --strip-section-headers` of newer binutils does."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    data[0x28:0x30] = bytes(8)
    data[0x3c:0x40] = bytes(4)
    with open(to, "wb") as f:
        f.write(data)
    os.chmod(to, 0o755)
    return to


# ---- interpreters -------------------------------------------------------------------------

class Python:
    def __init__(self, path):
        out = subprocess.run([path, "-c", FACTS], capture_output=True, text=True, check=True).stdout
        self.path = os.path.realpath(path)
        self.facts = json.loads(out)
        self.version = version_of(path)
        self.name = "%d.%d.%d" % self.version
        # the same variables everywhere: they are objects, too
        self.env = {**ENV, "PYTHONHOME": self.facts["prefix"], "LD_LIBRARY_PATH": self.facts["LIBDIR"]}
        self.shared = self.facts["shared"]

    def library(self):
        name = "libpython%s.so.1.0" % self.facts["LDVERSION"]
        found = glob.glob(os.path.join(self.facts["LIBDIR"], name)) + glob.glob(f"/usr/lib/*-linux-gnu/{name}")
        return found[0]

    def archive(self, pic):
        path = os.path.join(self.facts["LIBPL"], self.facts["LIBRARY"])
        with_pic = path[:-2] + "-pic.a"
        return with_pic if pic and os.path.exists(with_pic) else path

    def link(self, to, *options, static=True, pie=True):
        """Compiles embed.c. A distribution's archive has no debug information: as it is of the same
        build as the interpreter, it gets that one's build-id, and with it that one's."""
        facts = self.facts
        build = f"0x{build_id(self.path)}" if static and not self.shared else "sha1"
        libs = [x for x in (facts["LIBS"] + " " + facts["SYSLIBS"]).split() if x.startswith("-l")]
        python = [self.archive(pie), *libs, "-lm", "-ldl"] if static else [self.library(),
                                                                          "-Wl,-rpath," + os.path.dirname(self.library())]
        if static and not self.shared:
            python += ["-lz", "-lexpat", "-lutil"]
        command = [*CC, "-w", "-o", to, os.path.join(HERE, "embed.c"), "-I" + facts["INCLUDEPY"],
                   *(["-fPIE", "-pie"] if pie else ["-fno-pie", "-no-pie"]), *options, *python, f"-Wl,--build-id={build}"]
        r = subprocess.run(command, capture_output=True, text=True)
        check(f"{self.name}: {os.path.basename(to)} is built", r.returncode == 0, r.stderr)
        return to


def end_of(pid):
    """The innermost child: a wrapper's program."""
    while True:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            children = f.read().split()
        if not children:
            return pid
        pid = int(children[0])


class Program(Sample):
    def __init__(self, command, script, env=ENV):
        # without site: what an installation adds may need what a program does not export
        command = [command] if isinstance(command, str) else command
        super().__init__([*command, "-S"] if script else command, script, env=env)
        self.outer, self.pid = self.pid, end_of(self.pid)
        self.stands_still()

    def close(self):
        self.pid = self.outer
        super().close()


def counts(doc):
    return {t["type"]: t["count"] for t in doc["types"]} if doc else None


def sizes(doc):
    return {t["type"]: (t["count"], t["shallow_bytes"], t["retained_bytes"]) for t in doc["types"]} if doc else None


def difference(a, b):
    return {k: ((a or {}).get(k), (b or {}).get(k)) for k in {**(a or {}), **(b or {})} if (a or {}).get(k) != (b or {}).get(k)}


def read(name, program, *where, notes=()):
    doc = report(results, "top", *where, program.pid)
    if check(f"{name}: it is read", doc):
        markers = types_of(doc).get("__main__.Marker", {"count": 0})["count"]
        check(f"{name}: what the program has made", markers == MARKERS, markers)
        check(f"{name}: nothing is missing", doc["complete"], doc["notes"])
    return doc


def read_core(name, program, doc, *where):
    core = report(results, "top", *where, program.kernel_core())
    if check(f"{name}: its core is read", core):
        check(f"{name}: core as live", sizes(core) == sizes(doc), difference(sizes(core), sizes(doc)))


NAMES = 3  # objects more or less: of files' names and of numbers some are one object or several


def as_normal(name, doc, normal):
    differs = difference(counts(doc), counts(normal))
    same = all(t in ("str", "bytes", "int") and abs(a - b) <= NAMES for t, (a, b) in differs.items())
    check(f"{name}: as at its usual place", doc and normal and same, differs)


# ---- linked in, stripped ---------------------------------------------------------------------

def check_stripped(python, folder, script):
    """Programs that Python was linked into, with all symbols, with those of one table, with none."""
    def run(name, path, *where):
        with Program(path, script, python.env) as program:
            doc = read(name, program, *where)
            read_core(name, program, doc, *where)
            return doc

    for pie in (True, False):
        kind = f"{python.name} linked in{', PIE' if pie else ''}"
        base = os.path.join(folder, "pie" if pie else "fixed")
        inner = python.link(base, pie=pie)
        exporting = python.link(base + "-exports", "-rdynamic", pie=pie)
        where = {p: ["--debug-file", p] if python.shared else [] for p in (inner, exporting)}
        normal = run(f"{kind}, .symtab", inner)
        for name, path, of, oldest in (
                (".dynsym", strip(exporting, base + "-dynsym"), exporting, (3, 8)),
                (".dynsym without headers", without_headers(base + "-dynsym", base + "-dynsym-bare"), exporting, (3, 8)),
                ("no symbols", strip(inner, base + "-none", "-s"), inner, (3, 10)),
                ("no symbols, no headers", without_headers(base + "-none", base + "-none-bare"), inner, (3, 13))):
            if python.version >= oldest or where[of]:
                as_normal(f"{kind}, {name}", run(f"{kind}, {name}", path, *where[of]), normal)
            if python.version >= oldest:
                continue
            with Program(path, script, python.env) as program:
                r = pyheap("top", program.pid)
                check(f"{kind}, {name}: is not found, which is said", r.returncode == 3 and "symbols" in r.stderr, r)
    alone = python.link(os.path.join(folder, "alone"), "-static", pie=False)
    where = ["--debug-file", alone] if python.shared else []
    normal = run(f"{python.name} without any library", alone)
    if python.version >= (3, 10) or where:
        name = f"{python.name} without any library or symbol"
        as_normal(name, run(name, strip(alone, alone + "-none", "-s"), *where), normal)


def check_shared(python, folder, script, normal):
    """Programs that use a shared libpython; moved: with variables of it in the program."""
    for pie in (True, False):
        for moved in (False, True):
            name = f"{python.name} shared{', PIE' if pie else ''}{', moved variables' if moved else ''}"
            path = python.link(os.path.join(folder, f"shared{pie:d}{moved:d}"), *(["-DMOVED"] if moved else []),
                               static=False, pie=pie)
            for loader in ([], [shutil.copy(loader_of(path), folder)]):
                with Program([*loader, path], script, python.env) as program:
                    doc = read(f"{name}{', own loader' if loader else ''}", program)
                    read_core(f"{name}{', own loader' if loader else ''}", program, doc)


# ---- files elsewhere, or gone -------------------------------------------------------------------

def own_copy(python, folder):
    """Program and library in a folder of their own, under other names where those do not matter."""
    folder = tempfile.mkdtemp(dir=folder)
    program = shutil.copy(python.path, os.path.join(folder, "server"))
    if not python.shared:
        return folder, program, None, python.env
    library = shutil.copy(python.library(), folder)
    return folder, program, library, {**python.env, "LD_LIBRARY_PATH": folder}


def check_files(python, folder, script, normal):
    where, program, library, env = own_copy(python, folder)
    loader = shutil.copy(loader_of(program), os.path.join(where, "loader"))
    for name, command in (("renamed", [program]), ("own loader", [loader, program])):
        with Program(command, script, env) as p:
            doc = read(f"{python.name} {name}", p)
            as_normal(f"{python.name} {name}", doc, normal)
            read_core(f"{python.name} {name}", p, doc)
    # debug information by build-id is not beside the program
    debug = ["--debug-file", library and python.library()] if library else []
    kept = program + ".kept"
    shutil.copy(program, kept)
    for name, change in (("deleted", os.unlink), ("replaced", lambda path: (shutil.copy("/bin/true", path + "~"),
                                                                           os.replace(path + "~", path)))):
        where, program, library, env = own_copy(python, folder)
        with Program(program, script, env) as p:
            for path in filter(None, (program, library)):
                change(path)
            doc = read(f"{python.name} {name}", p, *debug)
            as_normal(f"{python.name} {name}", doc, normal)
            if not library:
                read_core(f"{python.name} {name}, --exe", p, doc, "--exe", kept)
                continue
            r = pyheap("top", *debug, p.kernel_core())
            check(f"{python.name} {name}, core: says what is missing", r.returncode in (3, 5) and "--sysroot" in r.stderr, r)
            there = where + "/sysroot" + where
            os.makedirs(there)
            shutil.copy(python.path, there + "/server")
            shutil.copy(python.library(), there)
            core = report(results, "top", "--sysroot", where + "/sysroot", *debug, glob.glob(p.dir.name + "/core*")[0])
            check(f"{python.name} {name}, core, --sysroot: as live", sizes(core) == sizes(doc),
                  difference(sizes(core), sizes(doc)))


# ---- several copies in one process -----------------------------------------------------------------

def check_copies(python, folder, host):
    lib = python.library()
    copy = shutil.copy(lib, os.path.join(folder, "libcopy.so"))
    for name, copies, others in (
            ("an idle copy before", (f"i:{copy}", f"r:{lib}:{CLASS}"), 0),
            ("an idle copy after", (f"r:{lib}:{CLASS}", f"i:{copy}"), 0),
            ("an idle copy of the same file", (f"I:{lib}", f"r:{lib}:{CLASS}"), 0),
            ("one that has ended", (f"E:{lib}:{OTHER}", f"r:{lib}:{CLASS}"), 0),
            ("in a namespace of its own", (f"R:{lib}:{CLASS}",), 0),
            ("two that run", (f"r:{lib}:{CLASS}", f"R:{lib}:{OTHER}"), 1),
            ("the other way round", (f"R:{lib}:{OTHER}", f"r:{lib}:{CLASS}"), 1),
            ("none that runs", (f"i:{lib}",), None),
            ("none that runs any more", (f"e:{lib}:{CLASS}", f"i:{copy}"), None)):
        name = f"{python.name} {name}"
        with Program([host, *copies], None, python.env) as p:
            r = pyheap("top", "--json", p.pid)
            if others is None:
                check(f"{name}: said so", r.returncode == 3 and "no interpreter runs" in r.stderr, r)
                continue
            if not check(f"{name}: it is read", r.returncode == 0, r.stderr):
                continue
            doc = json.loads(r.stdout)
            found = counts(doc)
            noted = [n["count"] for n in doc["notes"] if n["kind"] == "other-python"]
            check(f"{name}: one is counted, right", found.get("__main__.Marker") == MARKERS or
                  others and found.get("__main__.Other") == 77, found)
            check(f"{name}: others are told of", noted == [others] * others and doc["complete"] == (not others), doc["notes"])


# ---- namespaces ---------------------------------------------------------------------------------------

def check_namespaces(python, folder, script, normal):
    """As root sees them, or as whoever has made them."""
    user = [] if os.geteuid() == 0 else ["-U", "-r"]
    root = tempfile.mkdtemp(dir=folder)
    inside = shutil.copy(script, os.path.join(root, "places.py"))
    top = sorted({"/" + p.split("/")[1] for p in (python.path, python.facts["prefix"], loader_of(python.path), "/usr", "/lib", "/etc")})
    mounts = "".join(f"mkdir {root}{p} && mount --rbind {p} {root}{p} && " for p in top if os.path.isdir(p))
    for name, command in (
            ("mount namespace", ["unshare", *user, "-m", python.path]),
            ("PID namespace", ["unshare", *user, "-m", "-p", "-f", "--mount-proc", python.path]),
            ("user namespace", ["unshare", "-U", "-r", python.path]),
            ("all namespaces", ["unshare", "-U", "-r", "-m", "-p", "-f", "-n", "-i", "-u", "-C", python.path]),
            ("chroot", ["unshare", *user, "-m", "sh", "-c", mounts + f'exec chroot {root} {python.path} -S /places.py'])):
        name = f"{python.name} {name}"
        with Program(command, inside, python.env) as p:
            doc = read(name, p)
            as_normal(name, doc, normal)


NOBODY = 65534


def check_ordinary(folder):
    """An ordinary user's processes, whose mappings lead that user nowhere: a program that was
    deleted, and a libpython of which nothing is left but what is in memory."""
    python = Python(SYSTEM_PYTHON)
    name = f"{python.name} of an ordinary user"
    become = [] if os.geteuid() else ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    folder = tempfile.mkdtemp(dir=folder)
    os.chmod(folder, 0o755)
    tool = shutil.copy(PYHEAP, folder)
    script = os.path.join(folder, "places.py")
    with open(script, "w") as f:
        f.write(SCRIPT)

    def run(name, program, library, change):
        env = {**python.env, "LD_LIBRARY_PATH": os.path.dirname(library), "XDG_CACHE_HOME": folder + "/none"}
        with Program([*become, program], script, env) as p:
            for path in change:
                os.unlink(path)
            r = subprocess.run([*become, tool, "top", "--json", str(p.pid)], capture_output=True, text=True,
                               env={**os.environ, **env})
            if not check(f"{name}: it is read", r.returncode == 0, r.stderr):
                return None
            return json.loads(r.stdout)

    shared = python.link(os.path.join(folder, "shared"), static=False)
    normal = run(f"{name}, nothing deleted", shared, shutil.copy(python.library(), folder), [])
    check(f"{name}, nothing deleted: nothing is missing", normal and normal["complete"], normal and normal["notes"])
    program = shutil.copy(shared, folder + "/deleted")
    doc = run(f"{name}, program deleted", program, python.library(), [program])
    as_normal(f"{name}, program deleted", doc, normal)
    check(f"{name}, program deleted: nothing is missing", doc and doc["complete"], doc and doc["notes"])
    library = os.path.join(folder, os.path.basename(python.library()))
    doc = run(f"{name}, library deleted", shared, library, [library])
    # its code is missing, so that what only that can tell is
    check(f"{name}, library deleted: it is read", doc and counts(doc).get("__main__.Marker") == MARKERS, doc and counts(doc))
    check(f"{name}, library deleted: its file is missed", doc and not doc["complete"] and
          "missing-file" in [n["kind"] for n in doc["notes"]], doc and doc["notes"])


def check_all(path, folder, host):
    python = Python(path)
    script = os.path.join(folder, "places.py")
    with open(script, "w") as f:
        f.write(SCRIPT)
    with Program(python.path, script, python.env) as program:
        normal = read(f"{python.name}", program)
    check_stripped(python, tempfile.mkdtemp(dir=folder), script)
    check_shared(python, tempfile.mkdtemp(dir=folder), script, normal)
    check_files(python, folder, script, normal)
    check_copies(python, tempfile.mkdtemp(dir=folder), host)
    check_namespaces(python, folder, script, normal)


def main():
    with tempfile.TemporaryDirectory() as folder:
        host = os.path.join(folder, "host")
        subprocess.run([*CC, "-D_GNU_SOURCE", "-o", host, os.path.join(HERE, "host.c"), "-ldl"], check=True)
        for path in sys.argv[1:] or some_interpreters():
            check_all(path, tempfile.mkdtemp(dir=folder), host)
        os.chmod(folder, 0o755)
        check_ordinary(folder)
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
