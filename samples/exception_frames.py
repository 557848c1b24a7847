#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An exception kept in a local variable: exception → traceback → frame → exception.

Each cycle keeps every local of the frames it passes, here a large buffer.

expect: __main__.Failure 500
expect: frame >= 500
"""
import gc

import sample


class Failure(Exception):
    pass


def attempt(number):
    buffer = bytearray(10000)
    try:
        raise Failure(number, len(buffer))
    except Failure as error:
        kept = error
    return kept.args


def grow(n):
    for i in range(n):
        attempt(i)


gc.disable()
grow(500)
if __name__ == "__main__":
    sample.serve(grow)
