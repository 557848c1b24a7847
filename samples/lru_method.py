#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""functools.lru_cache on a method: the cache keeps every instance alive.

expect: __main__.Report 5000
expect: functools._lru_list_elem >= 5000
"""
import functools

import sample


class Report:
    def __init__(self, number):
        self.rows = ["row %d" % (number + i) for i in range(3)]

    @functools.lru_cache(maxsize=100000)
    def total(self, tax):
        return len(self.rows) * tax


def grow(n):
    for i in range(n):
        Report(i).total(1.5)


grow(5000)
if __name__ == "__main__":
    sample.serve(grow)
