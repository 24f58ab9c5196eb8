"""Included files of data: JSON, YAML, CSV."""

from __future__ import annotations

import pytest

import sfdl
from sfdl.values import Bytes, Description, Float, Long, Vector


def included(tmp_path, name, text, more=""):
    (tmp_path / name).write_text(text)
    main = tmp_path / "main.sf"
    main.write_text(f'sfConfig extends {{\n#include "{name}"\n{more} }}')
    return sfdl.compile(main)


def message(tmp_path, name, text):
    with pytest.raises(sfdl.CompileError) as caught:
        included(tmp_path, name, text)
    (found,) = caught.value.diagnostics
    assert (found.phase, found.code) == ("include", "SF-INCLUDE-005")
    assert found.span.line == 2
    return found.message


def test_members_of_a_json_object_become_attributes_of_their_kinds(tmp_path):
    text = '{"a": 1, "b": 4294967296, "c": 1.5, "d": null, "e": true, "f": [1, [2]], "g": "x"}'

    root = included(tmp_path, "data.json", text).root

    assert root.attributes == (
        ("a", 1),
        ("b", Long(4294967296)),
        ("c", 1.5),
        ("d", None),
        ("e", True),
        ("f", Vector((1, Vector((2,))))),
        ("g", "x"),
    )


def test_objects_are_data_components_that_references_and_prototypes_reach(tmp_path):
    more = "mine hosts:h1:ip; copy extends hosts:h1 { ip 2; }"

    root = included(tmp_path, "data.json", '{"hosts": {"h1": {"ip": 1}}}', more).root

    hosts = root.get("hosts")
    assert isinstance(hosts, Description)
    assert hosts.data
    assert hosts.get("h1").data
    assert root.get("mine") == 1
    assert root.get("copy") == Description((("ip", 2),))


def test_placement_reaches_into_data(tmp_path):
    root = included(tmp_path, "data.json", '{"h": {"ip": 1}}', "h:ip 7;").root

    assert root.get("h").get("ip") == 7


def test_canonical_json_reads_back_to_the_same_description(tmp_path):
    text = "sfConfig extends { a 1L; b 1.5F; c #HEX#ff#; d LAZY x:y; e [|1|]; }"
    compiled = sfdl.compile(text)

    root = included(tmp_path, "data.json", compiled.to_json()).root

    assert root.attributes == compiled.root.attributes
    assert root.get("b") == Float(1.5)
    assert root.get("c") == Bytes(b"\xff")


def test_name_with_a_dollar_is_written_doubled(tmp_path):
    assert included(tmp_path, "data.json", '{"$$a": 1}').root.names() == ("$a",)


def test_list_at_the_top_gives_rows(tmp_path):
    root = included(tmp_path, "data.json", '[{"x": 1}, 5]').root

    assert root.names() == ("row0", "row1")
    assert root.get("row0").get("x") == 1


def test_yaml_gives_what_the_same_json_gives(tmp_path):
    as_json = included(tmp_path, "a.json", '{"a": 1, "b": {"c": ["x", 2.5]}}').to_json()

    assert included(tmp_path, "a.yaml", "a: 1\nb: {c: [x, 2.5]}\n").to_json() == as_json
    assert included(tmp_path, "a.yml", "a: 1\nb:\n  c:\n  - x\n  - 2.5\n").to_json() == as_json


def test_yaml_date_is_text(tmp_path):
    assert included(tmp_path, "a.yaml", "d: 2020-01-02\n").root.get("d") == "2020-01-02"


def test_lines_of_csv_become_data_components_with_typed_fields(tmp_path):
    text = 'name,memory,on,note\nvm1,512,true,"a,b"\n\n"vm ""2""",1.5,NULL,\n'

    root = included(tmp_path, "hosts.csv", text).root

    first, second = root.get("row0"), root.get("row1")
    assert first.data
    assert first.attributes == (("name", "vm1"), ("memory", 512), ("on", True), ("note", "a,b"))
    assert second.attributes == (("name", 'vm "2"'), ("memory", 1.5), ("on", None), ("note", ""))


def test_attribute_of_a_csv_line_knows_its_line(tmp_path):
    compiled = included(tmp_path, "hosts.csv", "name\nh1\nh2\n")

    assert compiled.where("row1:name").line == 3


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "cannot be read as data"),
        ("a.json", "5", "an object or a list"),
        ("a.json", '{"a": 1e99999, "b": 99999999999999999999}', "64 bits"),
        ("a.json", '{"a": {"$long": "x"}}', "canonical"),
        ("a.json", "[" * 300 + "]" * 300, "inside each other"),
        ("a.json", "[" * 100_000 + "]" * 100_000, "inside each other"),
        ("a.yaml", "a: [", "cannot be read as data"),
        ("a.yaml", "1: 2", "no text"),
        ("a.yaml", "a: &x [*x]", "inside each other"),
        ("a.yaml", "a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a.yaml", "a: !!set {x}", "cannot hold a set"),
        ("a.csv", "a,a\n1,2\n", "each column once"),
        ("a.csv", "a,b\n1\n", "line 2 has 1 fields"),
        ("a.csv", 'a\n"x', "unexpected end"),
    ],
)
def test_malformed_data_is_an_include_error(tmp_path, name, text, words):
    assert words in message(tmp_path, name, text)


def test_doubled_aliases_of_yaml_are_bounded(tmp_path):
    text = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40))

    assert "more than 1000000 values" in message(tmp_path, "a.yaml", text)


def test_missing_optional_data_is_no_error(tmp_path):
    main = tmp_path / "main.sf"
    main.write_text('sfConfig extends { #include? "none.json" a 1; }')

    assert sfdl.compile(main).root.attributes == (("a", 1),)
