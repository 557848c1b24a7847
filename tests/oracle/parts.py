# SPDX-License-Identifier: GPL-2.0-or-later
"""What the workloads share: what they make is kept here, and what this version or build
of Python has not is named here."""
import importlib
import sys

KEEP, MISSING = [], []
keep = KEEP.append
VERSION = sys.version_info[:2]


def optional(name):
    """The module, or None where this version or build has none."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        MISSING.append(str(error))


def part(function):
    function()


class Key:
    """One that is equal to none, of a hash that all have."""
    def __hash__(self):
        return 5


class Text(str):
    pass


def nothing(*args):
    return None
