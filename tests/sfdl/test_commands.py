"""The command `sfdl` and what stands behind each of its sub-commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import sfdl
from sfdl.cli import main
from sfdl.compare import differences
from sfdl.explanation import explain
from sfdl.sfparse import main as sfparse

CASES = Path(__file__).parent / "cases"

POOL = """\
Vm extends { memory 512; cpus 1; disk extends { size 10; } }
Big extends Vm { memory (512 * factor); }
sfConfig extends {
  factor 4;
  base 7;
  vm1 extends Big { disk:size base; cpus 2; }
  vm2 extends Big;
  later LAZY PARENT:x;
}
"""


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.sf"
    path.write_text(POOL)
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# ---- all of them


def test_help_lists_the_commands_and_imports_no_compiler():
    code = "import sys; from sfdl.cli import main; main(['--help'], standalone_mode=False); "
    code += "sys.exit('lark' in sys.modules or 'sfdl.compiler' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    for name in ("check", "diff", "explain", "print", "test"):
        assert name in done.stdout


@pytest.mark.parametrize("name", ["check", "diff", "explain", "print", "test"])
def test_command_without_arguments_exits_with_2(name):
    assert run(name).exit_code == 2


def test_unknown_command_exits_with_2():
    assert run("frobnicate").exit_code == 2


# ---- print


def test_print_shows_source_that_compiles_to_the_same(pool):
    printed = run("print", pool)

    assert printed.exit_code == 0
    assert sfdl.compile(printed.stdout).to_json() == sfdl.compile(pool).to_json()


def test_print_as_yaml_has_the_structure_of_the_canonical_json(pool):
    import yaml

    as_yaml, as_json = run("print", "--as", "yaml", pool), run("print", "--as", "json", pool)

    assert yaml.safe_load(as_yaml.stdout) == json.loads(as_json.stdout)


def test_print_as_dot_draws_each_component_and_lazy_reference(pool):
    drawn = run("print", "--as", "dot", pool).stdout

    assert drawn.count("[label=") == 5
    assert '-> "PARENT:x" [style=dashed]' in drawn
    assert drawn.count("{") == drawn.count("}") == 1


def test_print_shows_only_the_part_asked_for(pool):
    assert run("print", "--sub", "vm1:disk", pool).stdout == "extends {\n  size 7;\n}\n"


def test_print_of_a_part_that_is_missing_exits_with_3(pool):
    result = run("print", "--sub", "vm1:dsik", pool)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "`dsik`" in result.stderr


def test_drawing_a_number_exits_with_3(pool):
    assert run("print", "--as", "dot", "--sub", "base", pool).exit_code == 3


# ---- check


def test_check_of_a_right_file_says_so_on_standard_error_only(pool):
    result = run("check", pool)

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 file: 0 errors, 0 warnings\n"


def test_check_reports_all_files_and_exits_with_3_if_one_is_wrong(pool, tmp_path):
    (tmp_path / "a.sf").write_text("sfConfig extends { a gone; }")
    (tmp_path / "b.sf").write_text("sfConfig extends { b lost; }")

    result = run("check", tmp_path / "a.sf", pool, tmp_path / "b.sf")

    assert result.exit_code == 3
    assert "`gone`" in result.stderr
    assert "`lost`" in result.stderr
    assert "3 files: 2 errors, 0 warnings" in result.stderr


def test_check_takes_a_file_without_sfconfig_for_a_library(tmp_path):
    (tmp_path / "lib.sf").write_text("A extends { x 1; }")
    (tmp_path / "bad.sf").write_text("A extends Gone;")

    assert run("check", tmp_path / "lib.sf").exit_code == 0
    assert run("check", tmp_path / "bad.sf").exit_code == 3


def test_check_in_json_lists_objects_with_ranges(tmp_path):
    (tmp_path / "a.sf").write_text("sfConfig extends { a gone; a 2; }")

    (found,) = json.loads(run("check", "--json", tmp_path / "a.sf").stderr)

    assert found["code"] == "SF-LINT-004"
    assert found["severity"] == "warning"
    assert found["range"]["start"] == {"line": 1, "column": 28}


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("components.nothing.Here", "cannot be imported"),
        ("engine.compound.Compoound", "there is no such class"),
        ("os.path.join", "not below engine or components"),
        ("nobody", "no registered type"),
    ],
)
def test_check_of_classes_reports_what_cannot_be_used(tmp_path, name, verdict):
    path = tmp_path / "a.sf"
    path.write_text(f'sfConfig extends {{\n a extends {{ sfClass "{name}"; }} }}')

    result = run("check", "--classes", path)

    assert result.exit_code == 3
    assert f"{path}:2:14: error SF-CLASS-001: `sfClass` of a is `{name}`" in result.stderr
    assert verdict in result.stderr


def test_check_of_classes_accepts_paths_and_registered_names(tmp_path):
    (tmp_path / "a.sf").write_text(
        'sfConfig extends { sfClass "engine.compound.Compound"; a extends { sfClass "compound"; } }'
    )

    assert run("check", "--classes", tmp_path / "a.sf").exit_code == 0


# ---- explain


def told(path, text=POOL, **options):
    return [reason.kind for reason in explain(text, path, **options).reasons]


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("base", ["literal"]),
        ("sfConfig:vm1:cpus", ["override", "literal"]),
        ("vm2:cpus", ["prototype", "prototype", "literal"]),
        ("vm1:disk:size", ["placement", "link", "literal"]),
        ("vm2:disk:size", ["prototype", "prototype", "literal"]),
        (
            "vm2:memory",
            ["prototype", "override", "function", "literal", "link", "literal"],
        ),
        ("later", ["link"]),
        ("sfConfig", ["literal"]),
    ],
)
def test_explanation_gives_the_steps_from_the_value_back_to_what_is_written(path, kinds):
    assert told(path) == kinds


def test_each_step_names_its_place():
    reasons = explain(POOL, "vm2:memory").reasons

    assert [str(reason.span) for reason in reasons] == [
        "<text>:2:5",
        "<text>:1:14",
        "<text>:2:30",
        "<text>:2:30",
        "<text>:2:32",
        "<text>:4:3",
    ]


def test_override_from_outside_is_told_as_a_placement():
    assert told("base", overrides=[("sfConfig:base", "9")]) == ["placement", "literal"]


def test_explained_value_is_that_of_the_result():
    assert explain(POOL, "vm1:disk:size").value == 7


def test_explain_shows_value_and_indented_reasons(pool):
    result = run("explain", pool, "vm1:disk:size")

    lines = result.stdout.splitlines()
    assert lines[0] == "vm1:disk:size = 7"
    assert lines[1].startswith("  placement: placed into sfConfig:vm1:disk as `disk:size`")
    assert lines[3] == f"    literal: `7` is written ({pool}:5:3)"


def test_explain_in_json_gives_value_and_reasons(pool):
    answer = json.loads(run("explain", "--json", pool, "base").stdout)

    assert answer["value"] == 7
    assert answer["reasons"] == [
        {"kind": "literal", "text": "`7` is written", "depth": 0, "file": str(pool), "line": 5,
         "column": 3}
    ]  # fmt: skip


def test_explain_of_a_missing_attribute_exits_with_3(pool):
    result = run("explain", pool, "vm1:nothing")

    assert result.exit_code == 3
    assert "there is no `nothing`" in result.stderr


def test_cyclic_links_through_components_are_explained_once():
    text = "sfConfig extends { a extends { x PARENT:b:y; } b extends { y 1; z PARENT:a:x; } }"

    assert told("b:z", text) == ["link", "link", "literal"]


# ---- diff


def different(old, new):
    roots = [sfdl.compile(f"sfConfig extends {{ {text} }}").root for text in (old, new)]
    return [str(difference) for difference in differences(*roots)]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a 1; b 2;", "a 1; b 2;", []),
        ("a 1;", "a 2;", ["~ a 1 -> 2"]),
        ("a 1;", "a 1L;", ["~ a 1 -> 1L"]),
        ("a 1;", "", ["- a 1"]),
        ("", "a [1, 2];", ["+ a [|1, 2|]"]),
        ("a 1; b 2;", "b 2; a 1;", ["~ the root order a b -> b a"]),
        ("[t] a 1;", "a 1;", ["~ a tags [t] -> []"]),
        (
            "c extends { x 1; }",
            "c extends DATA { x 2; }",
            ["~ c DATA false -> true", "~ c:x 1 -> 2"],
        ),
        ("c extends { x 1; }", "c 5;", ["~ c extends { x 1; } -> 5"]),
    ],
)
def test_difference_is_told_in_one_line(old, new, lines):
    assert different(old, new) == lines


def test_diff_exits_with_10_and_lists_differences(pool, tmp_path):
    other = tmp_path / "other.sf"
    other.write_text(POOL.replace("base 7", "base 8"))

    result = run("diff", pool, other)

    assert result.exit_code == 10
    assert result.stdout.splitlines() == ["~ base 7 -> 8", "~ vm1:disk:size 7 -> 8"]
    assert run("diff", pool, pool).exit_code == 0


def test_diff_in_json_lists_objects(pool, tmp_path):
    other = tmp_path / "other.sf"
    other.write_text(POOL.replace("base 7", "base 8"))

    found = json.loads(run("diff", "--json", pool, other).stdout)

    assert found[0] == {"kind": "changed", "path": "base", "old": "7", "new": "8"}


def test_diff_with_a_wrong_description_exits_with_3(pool, tmp_path):
    (tmp_path / "bad.sf").write_text("sfConfig 1;")

    assert run("diff", pool, tmp_path / "bad.sf").exit_code == 3


# ---- test


def case(folder, name, text, *, expected=None, error=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.sf").write_text(text)
    if expected is not None:
        (folder / f"{name}.json").write_text(expected)
    if error is not None:
        (folder / f"{name}.error").write_text(json.dumps(error))


def test_all_shipped_cases_pass():
    result = run("test", CASES)

    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith(" passed, 0 failed\n")
    assert int(result.stdout.split()[-4]) >= 339


def test_own_cases_pass():
    result = run("test", CASES.with_name("cases-own"))

    assert result.exit_code == 0, result.stdout


GOOD = "sfConfig extends { a 1; }"


@pytest.mark.parametrize(
    ("text", "expected", "error", "why"),
    [
        (GOOD, '{"a": 2}', None, "expected"),
        (GOOD, '{"a": 1.0}', None, "expected"),
        (GOOD, None, {"phase": "link"}, "expected to fail"),
        (GOOD, None, None, "stands beside it"),
        (GOOD, "{", None, "malformed"),
        ("sfConfig extends { a gone; }", '{"a": 1}', None, "does not compile"),
        ("sfConfig extends { a gone; }", None, {"phase": "type"}, "fails in link"),
        ("sfConfig extends { a gone; }", None, {"phase": "link", "offender": "lost"}, "lost"),
    ],
)
def test_case_that_does_not_hold_fails_with_a_reason(tmp_path, text, expected, error, why):
    case(tmp_path, "c", text, expected=expected, error=error)

    result = run("test", tmp_path)

    assert result.exit_code == 1
    assert "0 passed, 1 failed" in result.stdout
    assert why in result.stdout


def test_include_material_is_no_case(tmp_path):
    case(tmp_path, "good", '#include "_part.sf"\n#include "lib/more.sf"', expected='{"a": 1}')
    case(tmp_path, "_part", GOOD)
    case(tmp_path / "lib", "more", "x 1;")

    assert run("test", tmp_path).stdout == "1 passed, 0 failed\n"


def test_environment_comes_from_files_and_options(tmp_path):
    text = "sfConfig extends { a ENVPROPERTY SF_A; b ENVPROPERTY SF_B; c ENVPROPERTY SF_C; }"
    case(tmp_path / "in", "c", text, expected='{"a": "inner", "b": "outer", "c": "option"}')
    (tmp_path / "case.env").write_text("# outer\nSF_A=outer\nSF_B=outer\n")
    (tmp_path / "in" / "case.env").write_text("SF_A = inner\n")

    assert run("test", "--env", "SF_C=option", tmp_path).exit_code == 0


def test_malformed_environment_file_fails_the_case(tmp_path):
    case(tmp_path, "c", GOOD, expected='{"a": 1}')
    (tmp_path / "case.env").write_text("nonsense\n")

    assert run("test", tmp_path).exit_code == 1


def test_folder_without_cases_exits_with_3(tmp_path):
    assert run("test", tmp_path).exit_code == 3
    assert run("test", tmp_path / "nowhere").exit_code == 3


def test_test_in_json_lists_each_case(tmp_path):
    case(tmp_path, "c", GOOD, expected='{"a": 1}')

    (one,) = json.loads(run("test", "--json", tmp_path).stdout)

    assert one == {"case": str(tmp_path / "c.sf"), "passed": True, "why": ""}


# ---- the report of sfparse


def test_html_report_lists_all_files_and_escapes_text(pool, tmp_path):
    bad = tmp_path / "bad.sf"
    bad.write_text('sfConfig extends { a "<b>" ; a gone; }')

    result = CliRunner().invoke(sfparse, ["-R", str(pool), str(bad)])

    assert result.exit_code == 3
    assert "1 of 2 descriptions are right" in result.stdout
    assert "&lt;b&gt;" in result.stdout
    assert "<b>" not in result.stdout
    assert "<td>5<td>13" in result.stdout
