from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sfdl.sfparse import main


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.sf"
    path.write_text("sfConfig extends { size 1; in extends { a (size + 1); } }")
    return path


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.sf"
    path.write_text("sfConfig extends { a gone; }")
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_resolved_description_goes_to_standard_output(good):
    result = run(good)

    assert result.exit_code == 0
    assert result.stdout == "sfConfig extends {\n  size 1;\n  in extends {\n    a 2;\n  }\n}\n"
    assert result.stderr == ""


def test_wrong_description_exits_with_3_and_says_why_on_standard_error(bad):
    result = run(bad)

    assert result.exit_code == 3
    assert result.stdout == ""
    assert "SF-LINK-001" in result.stderr


def test_missing_file_exits_with_3_and_lists_the_places_searched(tmp_path):
    result = run("nowhere.sf", "-I", tmp_path)

    assert result.exit_code == 3
    assert "file not found: nowhere.sf" in result.stderr
    assert str(tmp_path / "nowhere.sf") in result.stderr


def test_no_file_at_all_exits_with_2():
    assert run().exit_code == 2


def test_unknown_option_exits_with_2(good):
    assert run("--nonsense", good).exit_code == 2


def test_override_without_equals_sign_exits_with_2(good):
    assert run("-D", "sfConfig:size", good).exit_code == 2


def test_one_wrong_file_among_good_ones_exits_with_3_and_shows_the_good(good, bad):
    result = run(bad, good)

    assert result.exit_code == 3
    assert "size 1;" in result.stdout


def test_override_reaches_what_depends_on_it(good):
    result = run("--json", "-D", "sfConfig:size=4", good)

    assert json.loads(result.stdout) == {"size": 4, "in": {"a": 5}}


def test_part_of_the_result_is_shown(good):
    assert run("--sub", "in:a", good).stdout == "2\n"


def test_part_that_is_not_there_exits_with_3(good):
    result = run("--sub", "in:b", good)

    assert result.exit_code == 3
    assert "`in:b` leads nowhere" in result.stderr


def test_quiet_shows_nothing_for_a_good_file(good):
    result = run("-q", good)

    assert (result.exit_code, result.output) == (0, "")


def test_report_counts_components_and_attributes(good):
    assert "2 components, 3 attributes" in run("-r", good).stdout


def test_verbose_shows_the_tree_after_each_phase(good):
    lines = run("-v", good).stderr.splitlines()

    assert [line.split(": ")[1] for line in lines] == [
        f"after phase {phase}" for phase in ("type", "place", "function", "sfConfig", "link")
    ]


def test_failures_as_json_have_ranges(bad):
    (found,) = json.loads(run("--json", bad).stderr)

    assert found["range"]["start"] == {"line": 1, "column": 22}


def test_files_are_read_from_a_list(good, tmp_path):
    listing = tmp_path / "all.txt"
    listing.write_text(f"# descriptions\n{good}\n\n")

    assert "size 1;" in run("-f", listing).stdout


def test_missing_list_exits_with_3(tmp_path):
    assert run("-f", tmp_path / "none.txt").exit_code == 3


def test_file_that_is_no_text_exits_with_3_without_traceback(tmp_path):
    path = tmp_path / "binary.sf"
    path.write_bytes(b"\xff\xfe\x00")

    result = run(path)

    assert result.exit_code == 3
    assert "cannot read" in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_program_runs_as_a_module(good):
    done = subprocess.run(
        [sys.executable, "-m", "sfdl.sfparse", "--json", str(good)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode, done.stdout) == (0, '{"size":1,"in":{"a":2}}\n')
