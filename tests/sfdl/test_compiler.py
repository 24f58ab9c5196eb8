from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

import sfdl
from sfdl.functions import Call, Function, FunctionError
from sfdl.graph import NO_TAGS, Cell
from sfdl.phases.extra import Phase, PhaseError

FUNCTIONS = '#include "org/smartfrog/functions.sf"\n'
ANSWER = 42


class Doubled(Function):
    """A function of somebody else's."""

    def evaluate(self, call: Call):
        value = call.integer("value")
        if value < 0:
            raise FunctionError("`Doubled` takes no negative number")
        return 2 * value


class Marking(Phase):
    """A phase of somebody else's."""

    def apply(self, component):
        if "unwanted" in component.attributes:
            raise PhaseError("an unwanted attribute")
        component.attributes["marked"] = Cell(True, NO_TAGS, None, 0)


@pytest.fixture
def importable(monkeypatch):
    """Make this module importable as `somebody.code`."""
    package, module = ModuleType("somebody"), ModuleType("somebody.code")
    module.Doubled, module.Marking, module.ANSWER, module.LIST = Doubled, Marking, ANSWER, []
    monkeypatch.setitem(sys.modules, "somebody", package)
    monkeypatch.setitem(sys.modules, "somebody.code", module)


def compiled_json(text, **options):
    return sfdl.compile(text, **options).to_json()


def failure(text, **options):
    with pytest.raises(sfdl.CompileError) as caught:
        sfdl.compile(text, **options)
    return caught.value


def test_compiling_twice_gives_the_same():
    text = (
        FUNCTIONS + "T extends { -- 1; } sfConfig extends { a extends T { -- 2; } b extends next; }"
    )

    assert compiled_json(text) == compiled_json(text)


def test_compilations_in_several_threads_do_not_disturb_each_other():
    def text(number):
        lines = "".join(f"x{i} extends next {{ base {number}; }}" for i in range(50))
        return f"{FUNCTIONS}sfConfig extends {{ n {number}; {lines} v (n + {number}); }}"

    alone = [compiled_json(text(number)) for number in range(16)]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(compiled_json, map(text, range(16))))

    assert together == alone


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("4", "4"),
        ("-2L", '{"$long":-2}'),
        ("1.5", "1.5"),
        ("true", "true"),
        ("NULL", "null"),
        ('"4"', '"4"'),
        ("four", '"four"'),
        ("[|1, 2|]", "[1,2]"),
        ("two words", '"two words"'),
        ("TBD", '"TBD"'),
        ("", '""'),
    ],
)
def test_override_value_is_read_as_a_literal_or_else_as_a_string(given, expected):
    text = "sfConfig extends { pool extends { size 1; } }"

    result = compiled_json(text, overrides=[("sfConfig:pool:size", given)])

    assert result == f'{{"pool":{{"size":{expected}}}}}'


def test_override_may_add_an_attribute_and_beats_a_placement_in_the_file():
    text = "sfConfig extends { pool extends {} } sfConfig:pool:size 2;"

    result = compiled_json(text, overrides=[("sfConfig:pool:size", "3"), ("sfConfig:new", "1")])

    assert result == '{"pool":{"size":3},"new":1}'


def test_override_that_cannot_be_placed_is_an_error_that_names_it():
    found = failure("sfConfig extends {}", overrides=[("sfConfig:pool:size", "3")])

    assert "sfConfig:pool:size" in str(found)


def test_override_path_has_to_consist_of_names():
    assert "PARENT:x" in str(failure("sfConfig extends {}", overrides=[("PARENT:x", "3")]))


def test_properties_are_given_by_the_caller():
    text = "sfConfig extends { a PROPERTY p.q; b IPROPERTY p.q; c IPROPERTY v; }"

    result = compiled_json(text, properties={"p.q": "7", "v": "[|true|]"})

    assert result == '{"a":"7","b":7,"c":[true]}'


def test_property_that_is_no_literal_is_a_link_error():
    found = failure("sfConfig extends { b IPROPERTY p; }", properties={"p": "a b"})

    assert found.diagnostics[0].phase == "link"


def test_main_file_is_looked_for_along_the_search_path(tmp_path):
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools" / "small.sf").write_text("sfConfig extends { n 1; }")
    assert compiled_json(Path("pools/small.sf"), search_path=[tmp_path]) == '{"n":1}'
    assert compiled_json(Path("pools/small.sf"), environment={"SFPATH": str(tmp_path)}) == '{"n":1}'


def test_missing_main_file_lists_the_places_searched(tmp_path):
    found = failure(Path("pools/none.sf"), search_path=[tmp_path])

    assert found.diagnostics[0].phase == "include"
    assert f"searched {tmp_path / 'pools/none.sf'}" in found.diagnostics[0].notes


def test_text_is_never_taken_for_a_file_name(tmp_path):
    assert failure(str(tmp_path / "none.sf")).diagnostics[0].phase == "parse"


def test_include_by_file_address_is_read_and_others_are_refused(tmp_path):
    (tmp_path / "a b.sf").write_text("x 1;")

    address = (tmp_path / "a b.sf").as_uri()

    assert compiled_json(f'#include "{address}"\nsfConfig extends {{ y x; }}') == '{"y":1}'
    assert "only file:" in str(failure('#include "http://host/x.sf"\nsfConfig extends {}'))


def test_where_gives_the_place_of_an_attribute_of_the_result():
    compiled = sfdl.compile(
        "T extends { v 1; }\nsfConfig extends {\n  a extends T;\n  -- extends { b 2; }\n}"
    )

    assert str(compiled.where("a")) == "<text>:3:3"
    assert str(compiled.where("a:v")) == "<text>:1:13"
    assert str(compiled.where('"--0":b')) == "<text>:4:16"
    assert compiled.where("a:nothing") is None


def test_codebase_and_lone_dash_are_warnings(tmp_path):
    (tmp_path / "lib.sf").write_text("")

    compiled = sfdl.compile(
        '#codebase "http://x" #include "lib.sf"\nsfConfig extends { - 1; }', search_path=[tmp_path]
    )

    assert [warning.code for warning in compiled.warnings] == ["SF-LINT-001", "SF-LINT-002"]


def test_nothing_is_imported_unless_its_package_is_allowed(importable):
    text = "sfConfig extends { a CONSTANT somebody.code.ANSWER; }"

    assert "allowed packages: other" in str(failure(text, allowed=["other"]))
    assert "allowed packages: none" in str(failure(text))
    assert compiled_json(text, allowed=["somebody"]) == '{"a":42}'


def test_package_name_that_only_begins_like_an_allowed_one_is_refused(importable):
    assert "may not be imported" in str(
        failure("sfConfig extends { a CONSTANT somebody.code.ANSWER; }", allowed=["some"])
    )


def test_constant_of_a_kind_without_literal_is_a_link_error(importable):
    found = failure("sfConfig extends { a CONSTANT somebody.code.LIST; }", allowed=["somebody"])

    assert "is a list" in str(found)


def test_function_class_of_somebody_else_is_called(importable):
    text = (
        FUNCTIONS
        + 'F extends Function { sfFunctionClass "somebody.code.Doubled"; }'
        + "sfConfig extends { a extends F { value %s; } }"
    )

    assert compiled_json(text % "21", allowed=["somebody"]) == '{"a":42}'
    assert "no negative number" in str(failure(text % "-1", allowed=["somebody"]))
    assert "may not be imported" in str(failure(text % "21"))


def test_class_that_is_no_function_is_refused(importable):
    text = (
        FUNCTIONS
        + 'sfConfig extends { a extends Function { sfFunctionClass "somebody.code.ANSWER"; } }'
    )

    assert "no subclass" in str(failure(text, allowed=["somebody"]))


PHASES = 'phaseList [|"type", "place", "function", "own", "sfConfig", "link"|];'


def test_added_phase_runs_on_components_that_name_it(importable):
    text = (
        PHASES
        + 'sfConfig extends { a extends { phase.own "somebody.code.Marking"; } b extends {} }'
    )

    root = sfdl.compile(text, allowed=["somebody"]).root

    assert root.get("a").get("marked") is True
    assert root.get("b").get("marked") is None


def test_added_phase_may_refuse_a_component(importable):
    text = PHASES + 'sfConfig extends { phase.own "somebody.code.Marking"; unwanted 1; }'

    assert "an unwanted attribute" in str(failure(text, allowed=["somebody"]))


def test_print_phase_writes_the_tree_to_the_log(caplog):
    phases = 'phaseList [|"print", "type", "place", "function", "sfConfig", "link"|];'
    text = f"{phases} P extends {{ a 1; }} sfConfig extends P;"

    with caplog.at_level(logging.INFO, logger="sfdl"):
        sfdl.compile(text)

    assert '"sfConfig":{"$extends":["P"]}' in caplog.text


def test_user_is_asked_only_if_the_caller_answers():
    text = FUNCTIONS + 'sfConfig extends { a extends userinput { prompt "name?"; } }'

    assert compiled_json(text, ask=lambda prompt: prompt.upper()) == '{"a":"NAME?"}'
    assert "not allowed" in str(failure(text))


def test_random_with_a_seed_is_the_same_each_time():
    text = (
        FUNCTIONS + "sfConfig extends { a extends random { seed 3; min 1; max 6; integer true; } }"
    )

    results = {compiled_json(text) for _ in range(5)}

    assert len(results) == 1
    assert 1 <= sfdl.compile(text).root.get("a") <= 6


def test_values_and_kept_functions_are_used_without_loading_the_parser():
    program = (
        "import sys, sfdl; sfdl.evaluate; sfdl.from_json; sfdl.parse_reference; sfdl.print_value;"
        "sys.exit('lark' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False, timeout=30
    )

    assert done.returncode == 0


def test_static_schema_names_kinds_by_their_legacy_classes():
    text = (
        '#include "org/smartfrog/predicates.sf"\n'
        'sfConfig extends { s extends Schema { sfAssertionPhase "static"; '
        'a extends Compulsory { class "java.lang.Integer"; } } a %s; }'
    )

    assert compiled_json(text % "1") == '{"a":1}'
    assert failure(text % '"x"').diagnostics[0].phase == "assert"


def test_failing_prototype_does_not_make_failures_of_those_below_it():
    found = failure("A extends Gone; B extends A:part; sfConfig extends {}")

    assert len(found.diagnostics) == 1


def test_optional_takes_its_default_where_the_target_itself_is_broken():
    text = "T extends { v gone; } sfConfig extends { a OPTIONAL (3) T:v; }"

    assert compiled_json(text) == '{"a":3}'


def test_placements_take_effect_in_the_order_of_the_text():
    text = "sfConfig extends { a extends { b extends {} b:x 1; } a:b:x 2; }"

    assert compiled_json(text) == '{"a":{"b":{"x":2}}}'
