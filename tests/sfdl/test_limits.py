"""Depth and length are no limits, and work grows in proportion to the result."""

from __future__ import annotations

import sys

import pytest

import sfdl


def siblings(count):
    template = "T extends { " + " ".join(f"a{i} {i};" for i in range(17))
    template += " b a1; c a2; d PARENT:outside; }\n"
    body = "\n".join(f'vm{i} extends T {{ name "n{i}"; }}' for i in range(count))
    return f"{template} sfConfig extends {{ outside 3; {body} }}"


LARGE = {
    "bodies": "sfConfig " + "extends { a " * 500 + "1" + " }" * 500,
    "prototypes": "".join(f"p{i} extends p{i + 1} {{ a{i} {i}; }} " for i in range(1000))
    + "p1000 extends {} sfConfig extends p0;",
    "links": "sfConfig extends {" + "".join(f"a{i} a{i + 1}; " for i in range(1000)) + "a1000 5; }",
    "operators": "sfConfig extends { v " + "(" * 1000 + "1" + " + 1)" * 1000 + "; }",
    "vectors": "sfConfig extends { v " + "[" * 500 + "]" * 500 + "; }",
    "literal vectors": "sfConfig extends { v " + "[|" * 500 + "|]" * 500 + "; }",
    "kept functions": "sfConfig extends { n LAZY m; v " + "(" * 500 + "n" + " + 1)" * 500 + "; }",
    "links to components": "sfConfig extends {"
    + "".join(f"a{i} extends {{ x a{i + 1}; }} " for i in range(150))
    + "a150 extends { z 1; } }",
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE.keys())
def test_deep_descriptions_compile_print_and_compile_again(text):
    compiled = sfdl.compile(text)

    assert sfdl.compile(compiled.source()).to_json() == compiled.to_json()
    assert sfdl.to_json(sfdl.from_json(compiled.to_json())) == compiled.to_json()


def test_long_vector_keeps_all_its_elements():
    compiled = sfdl.compile("sfConfig extends { v [" + ", ".join(map(str, range(100_000))) + "]; }")

    assert compiled.root.get("v") == sfdl.Vector(tuple(range(100_000)))


def test_chain_of_links_gives_the_value_at_its_end():
    compiled = sfdl.compile(LARGE["links"])

    assert {value for _, value in compiled.root.attributes} == {5}


def test_kept_function_of_any_depth_is_evaluated():
    root = sfdl.compile(LARGE["kept functions"]).root
    kept = root.get("v")
    (need,) = sfdl.needs(kept)

    assert sfdl.evaluate(kept, {need: 1}, root) == 501


def calls_to_compile(text):
    """Count Python calls, which unlike time are the same at each run."""
    count = 0

    def counting(_frame, event, _argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(counting)
    try:
        sfdl.compile(text)
    finally:
        sys.setprofile(None)
    return count


def test_work_grows_linearly_with_the_number_of_siblings():
    sfdl.compile("sfConfig extends {}")

    few, many = calls_to_compile(siblings(100)), calls_to_compile(siblings(800))

    assert many < 8.2 * few


def test_unchanged_values_are_shared_between_siblings():
    root = sfdl.compile(
        "T extends { v [|1, 2|]; } sfConfig extends { a extends T; b extends T; }"
    ).root

    assert root.get("a").get("v") is root.get("b").get("v")


def test_component_that_is_linked_twice_is_one_object():
    root = sfdl.compile("sfConfig extends { real extends { x 1; } one real; two real; }").root

    assert root.get("one") is root.get("real")
    assert root.get("two") is root.get("real")


def test_vector_may_end_in_a_name_that_looks_like_the_beginning_of_xor():
    root = sfdl.compile("sfConfig extends { x true; v [|DATA x|]; w (x x| false); }").root

    assert root.get("v") == sfdl.Vector((sfdl.parse_reference("DATA x"),))
    assert root.get("w") is True


def test_ten_thousand_failures_are_all_reported():
    names = " ".join(f"v{i} extends Gone;" for i in range(10_000))

    with pytest.raises(sfdl.CompileError) as caught:
        sfdl.compile(f"sfConfig extends {{ {names} }}")

    assert len(caught.value.diagnostics) == 10_000
