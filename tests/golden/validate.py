#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks what pyheap printed against docs/report.schema.json.

validate.py [FILE...]      (standard input without files)

A report (--json) or lines of `objects -f jsonl`. Order of keys is checked too:
it is the schema's. Ends with 1 after naming what is wrong.
"""
import json
import pathlib
import sys

import jsonschema

SCHEMA = json.loads((pathlib.Path(__file__).parents[2] / "docs/report.schema.json").read_text())


def without_duplicates(pairs):
    keys = [k for k, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"duplicate key in {keys}")
    return dict(pairs)


def resolve(schema):
    while "$ref" in schema:
        way = schema["$ref"].split("/")[1:]
        schema = SCHEMA
        for key in way:
            schema = schema[key]
    return schema


def definition_of(value):
    """The name of a report's definition: its command, and what its rows are by."""
    by = f"{value.get('command')}_by_{value.get('by')}"
    return by if by in SCHEMA["definitions"] else value.get("command")


def wrong_order(schema, value, where="$"):
    """Names the first object whose keys are not in the schema's order."""
    schema = resolve(schema)
    if "oneOf" in schema:
        objects = [s for s in map(resolve, schema["oneOf"]) if s.get("type") == "object"]
        schema = objects[0] if objects and isinstance(value, dict) else {}
    if isinstance(value, dict) and "properties" in schema:
        expected = [k for k in schema["properties"] if k in value]
        if expected != list(value):
            return f"{where}: keys are {list(value)}, expected order {expected}"
        for key, item in value.items():
            wrong = wrong_order(schema["properties"].get(key, {}), item, f"{where}.{key}")
            if wrong:
                return wrong
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            wrong = wrong_order(schema["items"], item, f"{where}[{i}]")
            if wrong:
                return wrong
    return None


def problem(value, definition):
    """None, or what is wrong with a value of one of the schema's definitions."""
    if definition not in SCHEMA["definitions"]:
        return f"unknown command {definition!r}"
    schema = {"$ref": f"#/definitions/{definition}", "definitions": SCHEMA["definitions"]}
    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(value))
    if error:
        return f"{error.json_path}: {error.message}"
    return wrong_order(schema, value)


def validate(text):
    """None, or what is wrong with the output of one run of pyheap."""
    try:
        value = json.loads(text, object_pairs_hook=without_duplicates)
        if "schema" in value:
            return problem(value, definition_of(value))
    except ValueError:
        value = None
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line, object_pairs_hook=without_duplicates)
        except ValueError as error:
            return f"line {number}: {error}"
        if "address" not in row:
            return f"line {number}: neither a report nor an object"
        wrong = problem(row, "object_row")
        if wrong:
            return f"line {number}: {wrong}"
    return None if text.strip() else "nothing to validate"


def main():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    files = sys.argv[1:] or ["-"]
    failed = False
    for name in files:
        text = sys.stdin.read() if name == "-" else pathlib.Path(name).read_text(encoding="utf-8")
        wrong = validate(text)
        if wrong:
            failed = True
            print(f"{name}: {wrong}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
