#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs command lines and compares what they print, byte by byte.

NAME.cmd is run by sh in this folder; NAME.out, NAME.err and NAME.status are what
it must print and how it must end. JSON is validated against the schema as well.
PYHEAP names the binary (build/pyheap).

run.py [--update] [NAME...]     --update writes what is expected
"""
import difflib
import os
import pathlib
import subprocess
import sys
import tempfile

import validate

HERE = pathlib.Path(__file__).resolve().parent
PARTS = ("out", "err", "status")
TIMEOUT_S = 60


def run_case(case, scratch):
    environment = {
        "PATH": f"{scratch}/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": scratch,
        "TMPDIR": scratch,
        "XDG_CACHE_HOME": f"{scratch}/cache",
        "OUT": f"{scratch}/out",
    }
    # leaks are the unit tests' business, everything else a sanitizer finds ends in another status
    environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "")
    os.makedirs(environment["OUT"], exist_ok=True)
    for left in pathlib.Path(environment["OUT"]).iterdir():
        left.unlink()
    done = subprocess.run(["sh", case], cwd=HERE, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=TIMEOUT_S, check=False)
    scrub = lambda text: text.replace(os.fsencode(scratch), b"SCRATCH")
    return {"out": scrub(done.stdout), "err": scrub(done.stderr),
            "status": b"%d\n" % done.returncode}


def show(name, part, want, got):
    lines = [text.decode("utf-8", "backslashreplace").splitlines() for text in (want, got)]
    for line in difflib.unified_diff(*lines, f"{name}.{part}", "got", lineterm=""):
        print("   ", line)


def is_json(text):
    return text.startswith((b'{"address"', b'{\n  "schema"'))


def check(case, got):
    """True when all parts are as expected."""
    good = True
    for part in PARTS:
        path = case.with_suffix("." + part)
        want = path.read_bytes() if path.exists() else None
        if want != got[part]:
            good = False
            show(case.stem, part, want or b"", got[part])
            if want is None:
                print(f"    {path.name} is missing")
    return good


def validates(got):
    wrong = validate.validate(got["out"].decode()) if is_json(got["out"]) else None
    if wrong:
        print(f"    not as the schema says: {wrong}")
    return not wrong


def orphans():
    cases = {case.stem for case in HERE.glob("*.cmd")}
    return [f.name for part in PARTS for f in HERE.glob("*." + part) if f.stem not in cases]


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    update = "--update" in sys.argv[1:]
    binary = pathlib.Path(os.environ.get("PYHEAP", "build/pyheap")).resolve()
    cases = sorted(c for c in HERE.glob("*.cmd") if not names or c.stem in names)
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="pyheap-golden.") as scratch:
        os.mkdir(f"{scratch}/bin")
        os.symlink(binary, f"{scratch}/bin/pyheap")
        for case in cases:
            got = run_case(case.name, scratch)
            if update:
                for part in PARTS:
                    case.with_suffix("." + part).write_bytes(got[part])
            print(case.stem)
            if check(case, got) & validates(got):
                passed += 1
            else:
                failed += 1
                print(f"  FAILED: {case.read_text().strip()}")
    for name in orphans():
        failed += 1
        print(f"FAILED: {name} belongs to no .cmd")
    if not cases or not binary.exists():
        failed += 1
        print(f"FAILED: no cases, or no {binary}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
