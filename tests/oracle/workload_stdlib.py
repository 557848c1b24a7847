# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects of every type of the standard library that has state, as far as this version
and build has it: absent modules are named in MISSING, anything else that fails is an
error. workload_types.py has what belongs to the language."""
import gc
import importlib
import os
import sys
import warnings

from parts import KEEP, keep, MISSING, optional, part, VERSION

warnings.simplefilter("ignore")


@part
def itertools_all():
    import itertools as it
    made = [it.count(1), it.count(1.5, 2), it.cycle([1, [2]]), it.repeat([1], 3), it.accumulate([1, 2], lambda a, b: a),
            it.chain([1], [2]), it.chain.from_iterable([[1], [2]]), it.compress([[1]], [1]), it.dropwhile(None, [1]),
            it.filterfalse(None, [0, 1]), it.groupby([1, 1, 2], str), it.islice([1, 2, 3], 2), it.starmap(pow, [(2, 3)]),
            it.takewhile(bool, [1, 0]), it.zip_longest([1], [2, 3], fillvalue=[]), it.product([1, 2], [[3]]),
            it.permutations([1, 2, 3], 2), it.combinations([1, [2], 3], 2), it.combinations_with_replacement([1, 2], 2),
            *it.tee([1, 2, 3], 2)]
    for i in made[1:]:
        try:
            next(i)
        except (TypeError, StopIteration):
            pass
    KEEP.extend(made)
    group = next(it.groupby([1, 1, 2]))
    keep(group)
    a, b = it.tee(iter(range(1000, 1100)))
    for _ in range(70):
        next(a)
    KEEP.extend((a, b))
    for name in ("pairwise", "batched"):
        if hasattr(it, name):
            keep(getattr(it, name)([1, 2, 3], *[2] * (name == "batched")))
            next(KEEP[-1])


@part
def functools_operator():
    import functools
    import operator
    keep(functools.cmp_to_key(lambda a, b: 0))
    keep(functools.cmp_to_key(lambda a, b: 0)([1]))
    keep(functools.singledispatch(lambda x: x))
    KEEP.extend((operator.itemgetter(1, "a"), operator.attrgetter("a.b", "c"), operator.methodcaller("m", [1], k=2)))
    keep(functools.partial(functools.partial(int, "1"), base=2))

    class Cached:
        @functools.cached_property
        def value(self):
            return [self]
    c = Cached()
    keep((c, c.value))
    if hasattr(functools, "Placeholder"):
        keep(functools.partial(print, functools.Placeholder, 1))
    KEEP.extend((functools.partialmethod(print, [1]), functools.singledispatchmethod(print),
                 functools.reduce(operator.add, [[1], [2]])))


@part
def collections_all():
    import collections
    KEEP.extend((collections.ChainMap({}, {1: [2]}), collections.Counter("abc"), collections.UserList([1, [2]]),
                 collections.UserString("abc"), collections.UserDict(a=[1])))
    keep(collections.namedtuple("Point", "x y", defaults=[0])(1, [2]))
    keep(iter(collections.OrderedDict(a=1)))
    ordered = collections.OrderedDict(a=[1])
    KEEP.extend((ordered, ordered.keys(), ordered.values(), ordered.items(), iter(ordered.values()), reversed(ordered)))
    import heapq
    keep(heapq.merge([[1]], [[2]]))
    next(KEEP[-1])


@part
def text():
    import io
    import re
    import string
    import struct
    import textwrap
    KEEP.extend((re.compile("(?P<a>x)(y)"), re.compile(b"z"), re.match("(a)(b)?", "abc"), re.compile("a").scanner("aaa"),
                 re.finditer("a", "aaa"), struct.Struct("<I8sd"), struct.iter_unpack("I", bytes(16)), string.Template("$a"),
                 string.Formatter(), textwrap.TextWrapper()))
    import _string
    import codecs
    import tokenize
    import unicodedata
    re.sub("(a)b", r"\1[\1]", "ab")       # leaves the template in a cache
    KEEP.extend((re.compile("a").finditer("aaa"), re.compile("(?P<n>a)").match("a"), re.match("(a)", "a").re,
                 _string.formatter_parser("a{b}"), _string.formatter_field_name_split("a.b[1]")[1],
                 codecs.charmap_build("".join(map(chr, range(300, 556)))),
                 importlib.import_module("encodings.cp1250").encoding_table, unicodedata.ucd_3_2_0,
                 codecs.lookup("utf-8"), codecs.getincrementaldecoder("utf-8")(), codecs.getreader("latin-1")(io.BytesIO())))
    decoder = codecs.getincrementaldecoder("shift_jis")()
    decoder.decode(b"\x83")
    KEEP.extend((decoder, codecs.getincrementalencoder("iso2022_jp")(), codecs.getreader("big5")(io.BytesIO()),
                 codecs.getwriter("gbk")(io.BytesIO()), importlib.import_module("_codecs_kr").getcodec("cp949")))
    tokens = tokenize.generate_tokens(io.StringIO("a = [1]\nb").readline)
    keep((next(tokens), next(tokens), tokens))
    if VERSION == (3, 11):
        keep(importlib.import_module("_tokenize").TokenizerIter("a = 1"))
    if hasattr(unicodedata, "iter_graphemes"):
        segments = unicodedata.iter_graphemes("abc")
        keep((segments, next(segments)))
    if optional("string.templatelib"):
        template = eval("t'hello {name!r:>10} {name}'", {"name": ["x"]})
        KEEP.extend((template, iter(template), template.interpolations, template + template, eval("t''")))
        next(KEEP[-4])


@part
def numbers():
    import array
    import datetime
    import decimal
    import fractions
    import random
    KEEP.extend((decimal.Decimal("1.5"), decimal.Decimal("1" * 200), decimal.Context(prec=5), decimal.getcontext(),
                 decimal.localcontext(), decimal.getcontext().flags, fractions.Fraction(1, 3), random.Random(1),
                 random.SystemRandom(), random._random.Random(1), datetime.tzinfo(), decimal.Decimal("NaN"),
                 decimal.Decimal("-Infinity"), decimal.Decimal("1E+1000"), decimal.Decimal(1).as_tuple()))
    trapping = decimal.Context(traps=[decimal.Inexact])
    trapping.clear_traps()
    managed = decimal.localcontext(trapping)
    KEEP.extend((trapping, managed, managed.__enter__(), trapping.copy()))
    managed.__exit__(None, None, None)
    import statistics
    keep(statistics.NormalDist(1, 2))
    for code in "bBuhHiIlLqQfd":
        keep(array.array(code, "ab" if code == "u" else [1, 2]))
    keep(iter(array.array("i", [1])))
    utc = datetime.timezone.utc
    KEEP.extend((datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=utc),
                 datetime.time(1), datetime.time(1, tzinfo=utc), datetime.timedelta(1, 2, 3),
                 datetime.timezone(datetime.timedelta(hours=1), "name"), datetime.date(2020, 1, 1).isocalendar()))

    class Zone(datetime.tzinfo):
        def __init__(self):
            self.state = [1]
    keep(datetime.datetime(2020, 1, 1, tzinfo=Zone()))
    zoneinfo = optional("zoneinfo")
    if zoneinfo:
        import io
        import struct
        block = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + bytes(6) + b"UTC\0"
        for rule in (b"UTC0", b"AAA3BBB,M3.2.0/2,M11.1.0/2", b"AAA3BBB,J60/2,300/2"):
            keep(zoneinfo.ZoneInfo.from_file(io.BytesIO(block + block + b"\n" + rule + b"\n"), key="Made/Up"))
        keep(datetime.datetime(2020, 1, 1, tzinfo=KEEP[-1]))


@part
def trees():
    import io
    import xml.etree.ElementTree as et
    import xml.parsers.expat
    root = et.fromstring("<a x='1'>text<b>c</b>tail<d/><e/><f/><g/><h/></a>")
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = lambda *a: None
    parser.buffer_text = True
    building = et.XMLPullParser(("start", "end", "comment"))
    building.feed("<a x='1'><b>text<!-- c --></b>")
    copy = et.Element("copy", {"x": "1"}, y="2")
    copy.text, copy.tail = "text", ["tail"]
    copy.extend(root)
    del copy[0]
    half = et.TreeBuilder(element_factory=lambda *a: et.Element(*a))
    half.start("a", {})
    half.data("x")
    half.data("y")
    external = xml.parsers.expat.ParserCreate(namespace_separator=" ", intern={})
    external.CharacterDataHandler = lambda data: None
    external.Parse("<a xmlns='n'><b>text", False)
    KEEP.extend((building, copy, half, external, external.ExternalEntityParserCreate("context"), copy.iter("b"),
                 copy.itertext(),
                 iter(copy), et.Comment("c"), et.ProcessingInstruction("p"), et.QName("u", "t"), type("Sub",
                 (et.Element,), {})("s"),
                 et.iterparse(io.BytesIO(b"<a><b/></a>")), et.parse(io.BytesIO(b"<a/>"))))
    next(KEEP[-2])
    KEEP.extend((root, et.ElementTree(root), et.TreeBuilder(), et.XMLParser(), root.iter(), root.iterfind("b"), parser,
                 et.Element("lonely"), et.XMLPullParser()))
    import csv
    import json
    KEEP.extend((csv.reader(["a,b"]), csv.writer(io.StringIO()), csv.DictReader(["a,b"]), csv.get_dialect("excel"),
                 json.JSONDecoder(), json.JSONEncoder(), json.JSONEncoder(indent=1)))
    from json import encoder, scanner
    KEEP.extend((encoder.c_make_encoder({}, repr, encoder.encode_basestring_ascii, None, ":", ",", False, False, True),
                 scanner.c_make_scanner(json.JSONDecoder(object_hook=dict, parse_float=str))))
    import ast
    import symtable
    KEEP.extend((ast.AST(), ast.parse("a = [1, b.c]"), symtable.symtable("a = 1", "f", "exec")))
    import html.parser
    keep(html.parser.HTMLParser())


@part
def serialised():
    import copyreg
    import io
    import pickle
    shared = [1, 2]
    pickler = pickle.Pickler(io.BytesIO())
    pickler.dump([shared, shared, {"a": (shared,)}])
    unpickler = pickle.Unpickler(io.BytesIO(pickle.dumps([shared, shared])))
    unpickler.load()
    KEEP.extend((pickler, unpickler, pickler.memo, unpickler.memo, copyreg.dispatch_table))
    KEEP.extend((pickle.PickleBuffer(bytearray(b"x")), pickle.Pickler(io.BytesIO(), protocol=5, buffer_callback=print),
                 pickle.Unpickler(io.BytesIO(), buffers=[b"x"]), pickle._Pickler(io.BytesIO()),
                 pickle._Unpickler(io.BytesIO())))

    class Own(pickle.Pickler):
        dispatch_table = {}

        def persistent_id(self, o):
            return None
    own = Own(io.BytesIO())
    own.dump([1, "x", ValueError([1])])
    own.fast = True
    half = pickle.Unpickler(io.BytesIO(pickle.dumps([1, [2]])[:-1]))
    try:
        half.load()
    except (EOFError, pickle.UnpicklingError):
        pass
    KEEP.extend((own, half, type("Sub", (pickle.Unpickler,), {"find_class": lambda *a: list})(io.BytesIO())))


@part
def digests():
    import hashlib
    import hmac
    import zlib
    KEEP.extend((hashlib.sha256(b"x"), hashlib.md5(b"x"), hashlib.sha3_256(b"x"), hashlib.blake2b(b"x"),
                 hashlib.blake2s(b"x"),
                 hashlib.shake_128(b"x"), hmac.new(b"k", b"m", "sha256"), zlib.compressobj(), zlib.decompressobj()))
    for name in sorted(hashlib.algorithms_guaranteed):
        keep(hashlib.new(name, b"x"))
    for name in ("_md5", "_sha1", "_sha256", "_sha512", "_sha2", "_sha3", "_blake2"):
        module = optional(name)
        for constructor in sorted(hashlib.algorithms_guaranteed & set(dir(module))):
            KEEP.extend((getattr(module, constructor)(b"x"), getattr(module, constructor)(b"x" * 10000)))
    keyed = hashlib.blake2b(b"x", key=b"k", salt=b"s", person=b"p", digest_size=20)
    keep(keyed.copy())
    for module, function in (("_hashlib", "hmac_new"), ("_hmac", "new")):
        if hasattr(optional(module), function):
            keep(getattr(importlib.import_module(module), function)(b"k", b"m", "sha256"))
    import bz2
    import lzma
    rest = zlib.decompressobj(zdict=b"dict")
    packed = zlib.compressobj(zdict=b"dict")
    rest.decompress(packed.compress(b"x" * 1000) + packed.flush() + b"unused")
    KEEP.extend((rest, packed, zlib.compressobj(9).copy()))
    if hasattr(zlib, "_ZlibDecompressor"):
        keep(zlib._ZlibDecompressor())
    fed = bz2.BZ2Decompressor()
    fed.decompress(bz2.compress(b"x" * 1000) + b"unused")
    slow = lzma.LZMADecompressor()
    slow.decompress(lzma.compress(bytes(10000)), max_length=10)
    KEEP.extend((fed, slow))
    zstd = optional("compression.zstd")
    if zstd:
        words = zstd.ZstdDict(b"raw content" * 10, is_raw=True)
        KEEP.extend((words, words.as_digested_dict, zstd.ZstdCompressor(zstd_dict=words), zstd.ZstdDecompressor(words)))
        KEEP[-2].compress(b"x" * 1000)
    import gzip
    import io
    import tarfile
    import zipfile
    KEEP.extend((gzip.GzipFile(fileobj=io.BytesIO(), mode="wb", mtime=0), zipfile.ZipFile(io.BytesIO(), "w"),
                 tarfile.open(fileobj=io.BytesIO(), mode="w"), bz2.BZ2File(io.BytesIO(), "w"),
                 lzma.LZMAFile(io.BytesIO(), "w")))
    KEEP.extend((bz2.BZ2Compressor(), bz2.BZ2Decompressor(), lzma.LZMACompressor(), lzma.LZMADecompressor()))


print(*MISSING, sep="\n", file=sys.stderr)

# classes that died meanwhile are keys of weak dicts, which notice in their own time
gc.collect()
