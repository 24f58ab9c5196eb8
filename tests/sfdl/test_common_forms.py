"""The parser's short cuts give what the grammar gives."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sfdl
from sfdl.builder import Parsing
from sfdl.common_forms import read_attributes
from sfdl.references import KEYWORDS

WORDS = st.one_of(
    st.sampled_from(["a", "b", "T", "x-1", "a.b", "$v", "lazy", "x", "--", "-", '"q"', "a:b"]),
    st.sampled_from(sorted(KEYWORDS)),
)
VALUES = st.one_of(
    WORDS,
    st.sampled_from(["PARENT:a", "ROOT:T:x", "a:PARENT", "LAZY a", "HERE a", "a:b:c", "1", "-2"]),
    st.sampled_from(["2147483648", "00012345678901", "3L", "1.5", '"s"', r'"\n"', "##m#", "[1]"]),
    st.sampled_from(["(a + 1)", "extends T", "extends {}", "extends T { x 1; }", "TBD", "-"]),
    st.sampled_from(
        ["extends T {x 1}", "extends LAZY T {}", "extends T, T {}", "extends a:T{b 1;}"]
    ),
)
GAPS = st.sampled_from([" ", "", "\n", "/* c */", " // c\n", "\t"])
ENDS = st.sampled_from([";", ";", ";", "", ",", "}"])


@st.composite
def texts(draw):
    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        parts = (draw(WORDS), draw(GAPS), draw(VALUES), draw(GAPS), draw(ENDS), draw(GAPS))
        pieces.extend(parts)
    return f"T extends {{ x 0; }} sfConfig extends {{ a 1; {''.join(pieces)} }}"


def outcome(text):
    try:
        compiled = sfdl.compile(text, environment={})
    except sfdl.CompileError as error:
        return [(one.code, one.message, one.span) for one in error.diagnostics]
    lints = [(one.code, one.span) for one in compiled.warnings]
    return compiled.to_json(), compiled.where("a"), lints


def by_grammar(text):
    with patch("sfdl.parser.read_attributes", lambda _source, at, _items: at):
        return outcome(text)


@given(texts())
@settings(max_examples=400, deadline=None)
def test_short_cuts_and_grammar_agree_on_results_places_and_errors(text):
    assert outcome(text) == by_grammar(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a 1; b x:y; c extends T { d 2; }", 3),
        ("a 1; b 2", 1),
        ("a TBD; b 2;", 0),
        ("THIS 1;", 0),
        ("a 3000000000;", 0),
        ("a THEN;", 0),
        ("VAR 1;", 0),
        ("a extends T { b [1]; }", 0),
        ("a extendsT { }", 0),
    ],
)
def test_only_common_forms_are_read(text, read):
    items = []

    read_attributes(Parsing(text), 0, items)

    assert len(items) == read
