#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cores as people have them: packed, cut off, without the names of their files, of other
coredump_filters."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from support import PYHEAP, ROOT, Results, Sample, interpreters, pyheap, report, some_interpreters, version_of

results = Results()
check = results.check
FAIR = (0, 3, 5)  # an answer, no Python (left), no layout fits: never a crash
PACKERS = {"gz": ["gzip", "-c"], "zst": ["zstd", "-qc"], "lz4": ["lz4", "-qc"], "xz": ["xz", "-1c"]}
NT_FILE, PT_NOTE = 0x46494c45, 4
LOADER = "/lib64/ld-linux-x86-64.so.2"


def bare(doc):
    """What two cores of one moment have in common."""
    return doc and {k: v for k, v in doc.items() if k != "run"}


def answer(core, *args, **kw):
    """What top says, checked to be an answer or an error that says why."""
    r = pyheap("top", "--json", *args, core, **kw)
    name = f"{os.path.basename(str(core))} {args}"
    check(f"{name}: ends in order", r.returncode in FAIR, (r.returncode, r.stderr))
    check(f"{name}: no sanitizer's words", "Sanitizer" not in r.stderr and "runtime error" not in r.stderr, r.stderr)
    check(f"{name}: says why", r.returncode == 0 or r.stderr.startswith("pyheap: "), r.stderr)
    return (json.loads(r.stdout) if r.returncode == 0 else None), r.stderr


def pack(path, suffix):
    packed = f"{path}.{suffix}"
    with open(packed, "wb") as f:
        subprocess.run([*PACKERS[suffix], path], stdout=f, check=True)
    return packed


def without_files(path):
    """A copy whose NT_FILE has a type that nobody knows."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    table, = struct.unpack_from("<Q", data, 32)
    count, = struct.unpack_from("<H", data, 56)
    for i in range(count):
        kind, _, at, _, _, size = struct.unpack_from("<IIQQQQ", data, table + 56 * i)
        end = at + size
        while kind == PT_NOTE and at < end:
            name, desc, what = struct.unpack_from("<III", data, at)
            if what == NT_FILE:
                struct.pack_into("<I", data, at + 8, 0x7fffffff)
            at += 12 + (name + 3 & ~3) + (desc + 3 & ~3)
    with open(path + ".bare", "wb") as f:
        f.write(data)
    return path + ".bare"


def core_of(directory, name, python, coredump_filter=0x33, arguments=()):
    """A kernel core in `directory`."""
    path = os.path.join(directory, name)
    with Sample(python, *(arguments or ("cycles.py",))) as sample:
        with open(f"/proc/{sample.pid}/coredump_filter", "w") as f:
            f.write(hex(coredump_filter))
        shutil.move(sample.kernel_core(), path)
    return path


def cut(path, share):
    to = f"{path}.{share}"
    with open(path, "rb") as f:
        whole = f.read()
    with open(to, "wb") as f:
        f.write(whole[:len(whole) * share // 100])
    return to


def damage(path):
    """One bit of a packed file's copy, which its own packer says is broken: of lz4 two bits in a
    hundred change nothing, a match elsewhere in a run of zeros."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    packer = PACKERS[path.rpartition(".")[2]][0]
    for at in range(len(data) * 2 // 3, len(data)):
        data[at] ^= 1
        if subprocess.run([packer, "-t"], input=data, capture_output=True).returncode:
            break
        data[at] ^= 1
    with open(path + ".damaged", "wb") as f:
        f.write(data)


def check_cut(path, packed):
    """Cut off, and of a packed one a byte changed: an answer that is not complete, or an error."""
    for share in (25, 50, 75, 95):
        doc, said = answer(cut(path, share))
        check(f"{path} {share} %: not complete", doc is None or (not doc["complete"] and "truncated-core" in
              [n["kind"] for n in doc["notes"]]), doc and doc["notes"])
        # how much is missing is in the headers, which come first; or it is the stream that is cut
        check(f"{path} {share} %: how much is missing", re.search(r"of memory are missing|stream is (cut off|damaged)",
                                                                  said), said)
    if not packed:
        return
    damage(path)
    doc, said = answer(path + ".damaged")
    check(f"{path}: damage is told", "stream is damaged" in said and (doc is None or not doc["complete"]), said)


def check_packed(core):
    want = bare(report(results, "top", core))
    objects = pyheap("objects", "--refs", "-f", "jsonl", core).stdout
    check_cut(core, False)
    for suffix in PACKERS:
        packed = pack(core, suffix)
        check(f"{suffix}: as the core itself", bare(report(results, "top", packed)) == want)
        r = pyheap("objects", "--refs", "-f", "jsonl", packed)
        check(f"{suffix}: objects as the core's", r.returncode == 0 and r.stdout == objects, r.stderr)
        with open(packed, "rb") as f:
            r = subprocess.run([PYHEAP, "top", "--json", "--exec", "-"], stdin=f, capture_output=True, text=True)
        check(f"{suffix} on standard input", r.returncode == 0 and bare(json.loads(r.stdout)) == want, r.stderr)
        check_cut(packed, True)
    with tempfile.TemporaryDirectory() as empty:
        r = pyheap("top", packed, env={**os.environ, "TMPDIR": os.path.join(empty, "none")})
        check("no place for it", r.returncode == 2 and "TMPDIR" in r.stderr, (r.returncode, r.stderr))


def check_report_and_snapshot(core, directory):
    """These, too, when somebody has packed them."""
    snapshot, doc = os.path.join(directory, "a.snap"), os.path.join(directory, "a.json")
    pyheap("snapshot", "-o", snapshot, core)
    pyheap("top", "--json", "-o", doc, core)
    want = pyheap("top", "--json", snapshot).stdout
    for suffix in PACKERS:
        r = pyheap("top", "--json", pack(snapshot, suffix))
        check(f"a snapshot packed with {suffix}", r.stdout == want, r.stderr)
        r = pyheap("diff", "--json", pack(doc, suffix), pack(snapshot, suffix))
        check(f"diff with a report packed with {suffix}", r.returncode == 0, r.stderr)
        r = pyheap("top", cut(f"{snapshot}.{suffix}", 60))
        # lz4 packs 4 MiB at a time: of a small file there is all or nothing
        check(f"a snapshot cut off in {suffix}", r.returncode in (2, 3) and "cut off" in r.stderr, r.stderr)


def check_without_files(name, core, *args):
    want, got = report(results, "top", core), report(results, "top", *args, without_files(core))
    check(f"{name}: as with the names of its files", got and bare(got) == bare(want), got and got["notes"])
    check(f"{name}: nothing is missing", got and got["complete"], got and got["notes"])


def check_filters(directory, python):
    """0x23 leaves out the pages by which files are known, 0x7f has more than most."""
    for value in (0x23, 0x7f):
        core = core_of(directory, f"filter-{value:x}", python, value)
        docs = [answer(core)[0], answer(core, "--exe", python)[0], answer(core, "--sysroot", "/")[0]]
        check(f"coredump_filter {value:x}: the user's word is enough", docs[2] and docs[2]["complete"],
              docs[2] and docs[2]["notes"])
        if value == 0x23:
            _, said = answer(core)
            check("files that nothing tells from others are counted", "files left out: " in said, said)
        else:
            check("the same without it", bare(docs[0]) == bare(docs[2]))
        plain = without_files(core)
        check(f"coredump_filter {value:x}: no names", bare(answer(plain, "--sysroot", "/")[0]) == bare(docs[2]))
        check_cut(core, False)


def main():
    with tempfile.TemporaryDirectory() as directory:
        for python in some_interpreters():
            version = "%d.%d.%d" % version_of(python)
            core = core_of(directory, version, python)
            check_without_files(version, core)
            check_without_files(version + " --exe", core, "--exe", python)
        python = next(interpreters())
        if os.path.exists(LOADER):
            script = os.path.join(ROOT, "samples/cycles.py")
            core = core_of(directory, "loader", LOADER, arguments=(os.path.realpath(python), script))
            check_without_files("started by a loader", core)
        core = core_of(directory, "core", python)
        check_packed(core)
        check_report_and_snapshot(core, directory)
        check_filters(directory, python)
    return results.finish()


sys.exit(main())
