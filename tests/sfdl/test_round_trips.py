"""Whatever a description holds, it survives being written and read in every form."""

from __future__ import annotations

import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sfdl
from sfdl.deep_json import _Reader
from sfdl.references import KEYWORDS
from sfdl.values import Bytes, Description, Float, Kept, Long, Part, PartKind, Reference, Vector

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.one_of(
    st.from_regex(r"[a-zA-Z_$][a-zA-Z0-9._+@#~%^&-]{0,6}", fullmatch=True),
    st.sampled_from(sorted(KEYWORDS)),
    st.sampled_from(["--0", "--1", "--7", "$x", "$$", "", "two words", "a:b"]),
    TEXT,
).filter(lambda name: not name.startswith(("sf", "phase.")))
SINGLES = st.floats(width=32, allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(
    TEXT,
    st.booleans(),
    st.none(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Long),
    st.floats(allow_nan=False, allow_infinity=False),
    SINGLES.map(Float),
    st.binary(max_size=8).map(Bytes),
)
LONE = st.sampled_from([PartKind.PARENT, PartKind.ROOT, PartKind.THIS, PartKind.PROCESS]).map(Part)
NAMED = st.builds(
    Part,
    st.sampled_from(
        [kind for kind in PartKind if kind.value not in ("PARENT", "ROOT", "THIS", "PROCESS")]
    ),
    NAMES,
)
PATHS = st.lists(st.one_of(LONE, NAMED), min_size=1, max_size=4).map(tuple)


@st.composite
def references(draw, *, data_only=False):
    data = data_only or draw(st.booleans())
    optional = draw(st.booleans())
    default = draw(SCALARS) if optional else None
    return Reference(draw(PATHS), not data, data, optional, default)


def unique(pairs):
    return tuple(dict(pairs).items())


def vectors(values):
    return st.lists(values, max_size=4).map(lambda items: Vector(tuple(items)))


def components(values):
    pairs = st.lists(st.tuples(NAMES, values), max_size=5).map(unique)

    @st.composite
    def build(draw):
        attributes = draw(pairs)
        tagged = (
            draw(st.sets(st.sampled_from([name for name, _ in attributes])))
            if attributes
            else set()
        )
        tags = tuple(
            (name, draw(st.frozensets(NAMES, min_size=1, max_size=3)))
            for name, _ in attributes
            if name in tagged
        )
        return Description(attributes, tags, draw(st.booleans()))

    return build()


def kept(values):
    arguments = st.lists(st.tuples(NAMES, values), max_size=4).map(unique)
    functions = st.sampled_from(["Sum", "Concatenate", "IfThenElse", "somebody.code.Function"])
    return st.one_of(
        st.builds(lambda name, given: Kept(name, given, True, False), functions, arguments),
        st.builds(lambda name, given: Kept(name, given, False, True), functions, arguments),
        st.builds(lambda given: Kept("CheckAssertions", given, True, False, True), arguments),
    )


LITERALS = st.recursive(st.one_of(SCALARS, references(data_only=True)), vectors, max_leaves=6)
VALUES = st.recursive(
    st.one_of(LITERALS, references()),
    lambda values: st.one_of(components(values), kept(values)),
    max_leaves=8,
)


@given(components(VALUES))
@settings(max_examples=150, deadline=None)
def test_printed_description_compiles_to_itself(description):
    compiled = sfdl.compile(sfdl.print_file(description))

    assert compiled.to_json() == sfdl.to_json(description)


@given(components(VALUES))
@settings(max_examples=150, deadline=None)
def test_canonical_json_reads_back_as_the_same(description):
    text = sfdl.to_json(description)

    assert sfdl.to_json(sfdl.from_json(text)) == text
    assert sfdl.digest(sfdl.from_json(text)) == sfdl.digest(description)


@given(references())
def test_reference_reads_back_from_its_text(reference):
    read = sfdl.parse_reference(sfdl.reference_text(reference))

    assert read.parts == reference.parts


@given(SCALARS)
def test_literal_reads_back_from_its_text(value):
    read = sfdl.parse_value(sfdl.print_value(value))

    assert sfdl.to_json(read) == sfdl.to_json(value)


@given(SINGLES)
def test_single_precision_is_written_in_the_fewest_digits_that_read_back(value):
    text = sfdl.to_json(Float(value)).removeprefix('{"$float":').removesuffix("}")

    assert struct.pack("<f", float(text)) == struct.pack("<f", value)
    assert len(text) <= len(repr(value))


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("kind", [float, Float])
def test_numbers_that_are_not_finite_have_canonical_json_and_source_text(number, kind):
    value = kind(number)
    description = Description((("x", value), ("y", Vector((value, Vector((1, value)))))))
    text = sfdl.to_json(description)

    assert sfdl.to_json(sfdl.from_json(text)) == text
    assert sfdl.compile(sfdl.print_file(description)).to_json() == text


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"$apply": "Sum"}',
        '{"$data": true, "$tags": [1]}',
        '{"$ref": 1}',
        '{"$long": {}}',
        '{"$what": 1}',
        '{"a": 2147483648}',
        '{"$bytes": "0"}',
        '{"$ref": "a:"}',
        "[1,]",
    ],
)
def test_malformed_canonical_json_is_a_format_error(text):
    with pytest.raises(sfdl.FormatError):
        sfdl.from_json(text)


@pytest.mark.parametrize(
    "text", ["", "a:", ":a", "a b", "LAZY", "LAZY DATA a", "extends", "OPTIONAL (1 a", "HERE LAZY"]
)
def test_malformed_reference_is_a_format_error(text):
    with pytest.raises(sfdl.FormatError):
        sfdl.parse_reference(text)


def test_kinds_that_python_takes_for_equal_have_different_digests():
    values = [1, 1.0, True, Long(1), Float(1.0), "1"]

    assert len({sfdl.digest(Description((("x", value),))) for value in values}) == len(values)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), SINGLES, TEXT),
    lambda values: st.one_of(st.lists(values), st.dictionaries(TEXT, values)),
)


@given(JSON, st.sampled_from([None, 1]))
def test_deep_reader_reads_json_like_the_standard_library(value, indent):
    text = json.dumps(value, indent=indent)

    assert _Reader(text, dict).read() == json.loads(text)


@pytest.mark.parametrize(
    "text", ["", "{", "[1", "[1 2]", '{"a"}', '{"a":}', "{1:2}", "[1]]", "[,]", "[1,]", "nul", '"a']
)
def test_deep_reader_refuses_what_is_no_json(text):
    with pytest.raises(ValueError, match=r"."):
        _Reader(text, dict).read()


def test_json_of_any_depth_is_read():
    text = '{"a":' * 5000 + "1" + "}" * 5000

    assert sfdl.to_json(sfdl.from_json(text)) == text
