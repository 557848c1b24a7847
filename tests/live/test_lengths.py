#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lengths of the paths that `why` prints are those of a breadth-first search in what
`objects` prints, and paths of all of a type add up to what `top` says of it.

With --all every reference counts alike, and a search begins at all that is held from
outside at once (src/analysis/reach.c):
- what the graph's node 0 holds (src/graph/build.c): objects whose references are not
  counted (refcount null), objects with another count than the references found
  (excess not 0), the permanent generation, static types (which are held so, too);
- modules in sys.modules, and what running frames hold where it is no excess: up to 3.10 they
  are objects, later those of generators may lie in these. All else that the interpreter's
  state holds is excess.
Without it the least penalty goes first (src/analysis/marks.c). What named roots without
one (modules, locals, operand stacks) reach without one has the length of a search in
references without one; where the export does not say all about a reference (guessed
from memory, or to one of two classes of one name) it lies between two such searches."""
import collections
import concurrent.futures
import json
import os
import random
import sys

from support import Holders, Results, some_interpreters, pyheap, read_objects, version_of

results = Results()
check = results.check
OBJECTS = 120       # random ones asked about, every other one also with --all
TYPES = 8           # and types
UNCOUNTED = 1 << 28 # a count that stands for none: objects that the compiler laid out
OWN = ("dict", "type", "code", "module")  # what these own is read; what others do may be guessed
SEED = int(os.environ.get("PYHEAP_TEST_SEED", "0"), 0) or int.from_bytes(os.urandom(4), "little")
ARGS = sys.argv[1:]


def is_held(o, by):
    return any(h.startswith(by) for h in o["held_by"])


class Graph:
    """What the export and the program itself say; addresses as numbers."""

    def __init__(self, objects, facts):
        self.objects = {int(a, 16): o for a, o in objects.items()}
        for o in self.objects.values():
            o["to"] = [int(a, 16) for a in o["refs"] + o["owned"]]
        self.module_dicts = set(facts["module dicts"])
        classes = {int(a): c for a, c in facts["classes"].items()}
        self.class_dicts = {c["dict"] for c in classes.values()}
        self.of_name = collections.defaultdict(list)
        for a, c in classes.items():
            self.of_name[c["name"]].append(a)
        self.classes = classes
        modules = set(facts["modules"].values())
        locals_ = {a for a, o in self.objects.items() if is_held(o, "local ")}
        for f in facts["frames"]:               # some have ended meanwhile
            if self.objects.get(f, {"type": ""})["type"] != "frame":
                continue
            locals_ |= set(self.frame_locals(f))
        self.named = (modules | locals_) & set(self.objects)
        # what is found on a stack whose top is not known is no named root; what a running generator
        # has may be visited, and is no excess then
        self.perhaps_named = self.named | {a for a, o in self.objects.items() if is_held(o, "stack in ")}
        for a in facts["running"]:
            visited = {to for to in self.objects[a]["to"] if self.objects[to]["type"] != "str"}  # names are its own
            self.perhaps_named |= visited
        self.roots = self.perhaps_named | {a for a, o in self.objects.items() if o["excess"] != 0}
        self.roots |= {a for a, o in self.objects.items() if o["refcount"] is None or o["generation"] == 3}

    def frame_locals(self, frame):
        """What a frame object refers to besides its fields, which come first."""
        refs = self.objects[frame]["to"]
        fields = sum(1 for a in refs[:5] if self.objects[a]["type"] in ("frame", "code") or a in self.module_dicts)
        return refs[fields:]

    def free(self, a, strict):
        """References of an object that cost nothing: surely, or perhaps."""
        o = self.objects[a]
        known = self.of_name.get(o["type"], [])
        kinds = [self.classes[c] for c in known]
        sure = len(known) == 1 and o["refs_exact"]
        if strict and not sure or o["refcount"] is not None and o["refcount"] > UNCOUNTED:
            return
        surely = o["to"] if not strict or o["type"] in OWN else o["to"][:len(o["refs"])]
        for to in surely:
            if to in known or not kinds:
                if strict or len(known) == 1:
                    continue
            elif any(k["of types"] for k in kinds):
                if to not in self.class_dicts:
                    continue
            elif to in self.module_dicts:
                if not any(k["of modules"] for k in kinds):
                    continue
            elif any(k["infrastructure"] for k in kinds) and to in self.objects:
                held = [self.classes[c] for c in self.of_name.get(self.objects[to]["type"], [])]
                if any(k["of types"] or k["of modules"] for k in held):
                    continue
            yield to

    def search(self, roots, edges):
        """Distances from the roots, over what edges(address) yields."""
        distance = dict.fromkeys(roots, 0)
        todo = collections.deque(roots)
        while todo:
            a = todo.popleft()
            for to in edges(a):
                if to not in distance and to in self.objects:
                    distance[to] = distance[a] + 1
                    todo.append(to)
        return distance


def ask(name, snap, what, *options):
    r = pyheap("why", snap, what, "--json", *options)
    return json.loads(r.stdout) if check(f"{name}: why {what}", r.returncode == 0, r.stderr) else None


def check_all(name, snap, graph, chosen):
    """--all: the fewest references from any root."""
    distance = graph.search(graph.roots, lambda a: graph.objects[a]["to"])
    for a in chosen:
        doc = ask(name, snap, hex(a), "--all", "-n", "1", "--no-retained")
        lengths = [p["length"] for p in doc["paths"]] if doc else []
        wanted = [distance[a]] if a in distance else []
        check(f"{name}: --all: length to {a:#x} ({graph.objects[a]['type']})", lengths == wanted,
              (lengths, wanted, doc and doc["paths"]))
        if doc:
            check(f"{name}: garbage is what no root reaches", doc["what"]["garbage"] == (a not in distance), doc["what"])


def check_best(name, snap, graph, chosen):
    """Without a penalty: between what surely has none and what perhaps has none. How many there were."""
    low = graph.search(graph.perhaps_named, lambda a: graph.free(a, False))
    high = graph.search(graph.named, lambda a: graph.free(a, True))
    exact = 0
    for a in chosen:
        doc = ask(name, snap, hex(a), "-n", "1", "--no-retained")
        if not doc or not doc["paths"]:
            continue
        path = doc["paths"][0]
        about = f"{name}: {path['root']['kind']} {path['root']['name']} {path['reading']} ({graph.objects[a]['type']})"
        free = path["root"]["kind"] in ("module", "local", "stack")
        if a in high:
            check(f"{about}: its root is named", free, hex(a))
            check(f"{about}: length {path['length']}", low[a] <= path["length"] <= high[a], (low[a], high[a], hex(a)))
            exact += low[a] == high[a]
            if exact % 50 == 0:     # and from its own root nothing is nearer
                root = int(path["root"]["address"], 16)
                own = graph.search([root], lambda x: graph.free(x, True)).get(a, path["length"])
                check(f"{about}: the nearest from its root", own >= path["length"], own)
    return exact


def check_types(name, snap, graph, rng):
    r = pyheap("top", "--json", snap)
    if not check(f"{name}: top", r.returncode == 0, r.stderr):
        return
    rows = json.loads(r.stdout)["types"]
    for row in rng.sample(rows, min(TYPES, len(rows))) + [t for t in rows if t["type"] in ("dict", "function")]:
        doc = ask(name, snap, row["type"], "-n", "0")
        if not doc:
            continue
        what, paths = doc["what"], doc["paths"]
        shown = sum(p["count"] for p in paths) + doc.get("omitted", {}).get("count", 0)
        about = f"{name}: {row['type']}"
        count = sum(1 for o in graph.objects.values() if o["type"] == row["type"])
        check(f"{about}: counts add up", shown + what["garbage"] + what["unreached"] == what["count"] == row["count"] == count,
              (shown, what, row))
        retained = sum(p["retained_bytes"] for p in paths)
        if what["garbage"] + what["unreached"] == 0:
            check(f"{about}: retained sizes add up", retained == row["retained_bytes"], (retained, row))
        else:
            check(f"{about}: no more than all is retained", retained <= row["retained_bytes"], (retained, row))
        check(f"{about}: readings differ", len({(json.dumps(p["root"]["kind"]), p["root"]["name"], p["reading"],
                                                 tuple(s["type"] for s in p["steps"]), p["root"]["type"]) for p in paths})
              == len(paths), [p["reading"] for p in paths][:20])
        check(f"{about}: the most retained first", [p["retained_bytes"] for p in paths] ==
              sorted((p["retained_bytes"] for p in paths), reverse=True))


def check_interpreter(python):
    name = "%d.%d.%d" % version_of(python)
    rng = random.Random(SEED)
    with Holders(python) as target:
        path, snap = (os.path.join(target.dir.name, n) for n in ("objects", "snapshot"))
        for command in (["objects", "--refs", "--roots", "-f", "jsonl", "-o", path], ["snapshot", "-o", snap]):
            r = pyheap(*command, target.pid)
            if not check(f"{name}: pyheap {command[0]}", r.returncode == 0, r.stderr):
                return
        graph = Graph(read_objects(path), target.facts)
        chosen = rng.sample(sorted(graph.objects), OBJECTS)
        check_all(name, snap, graph, chosen[::2])
        exact = check_best(name, snap, graph, chosen)
        check(f"{name}: paths without a penalty", exact > OBJECTS / 3, exact)
        check_types(name, snap, graph, rng)
    print(f"{name}: {len(chosen)} objects of {len(graph.objects)}, {len(graph.roots)} roots, {exact} without a penalty",
          flush=True)


def run(python):
    """In a process of its own: its results."""
    results.passed = results.failed = 0
    check_interpreter(python)
    return results.passed, results.failed


def main():
    pythons = [p for p in some_interpreters() if not ARGS or any(a in p for a in ARGS)]
    print(f"PYHEAP_TEST_SEED={SEED}")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(run, python) for python in pythons]:
            passed, failed = done.result()
            results.passed += passed
            results.failed += failed
    return results.finish()


sys.exit(main())
