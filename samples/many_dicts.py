#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows as dicts: small dicts with the same keys, which each pay for a table.

expect: dict >= 30000
expect: float >= 30000
"""
import sample

ROWS = []


def grow(n):
    for _ in range(n):
        i = len(ROWS)
        ROWS.append({"id": 100000 + i, "name": "name %d" % i, "price": i * 1.25, "tags": ["new"]})


def leaked():
    for row in ROWS:
        yield row
        yield row["name"]
        yield row["price"]
        yield row["tags"]


grow(30000)
if __name__ == "__main__":
    sample.serve(grow, leaked)
