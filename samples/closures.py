#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A function that refers to itself through its closure, made again and again.

expect: cell >= 2000
expect: __main__.Config 1000
"""
import gc

import sample


class Config:
    pass


def handler(config):
    def retry(times):
        return retry(times - 1) if times else config
    return retry(2)


def grow(n):
    for _ in range(n):
        handler(Config())


gc.disable()
grow(1000)
if __name__ == "__main__":
    sample.serve(grow)
