"""Every case under `cases/`: a description, and its canonical JSON or the failure it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sfdl

CASES = Path(__file__).parent / "cases"
ENVIRONMENT = {"SF_CONFORMANCE_INT": "42", "SF_CONFORMANCE_STR": "hello"}
NOT_YET: dict[str, str] = {}
"""Cases that do not pass, with the reason."""


class Ordered(list):
    """A JSON object as its members, so that their order counts in comparisons."""


def strict(text):
    """Read JSON so that kinds and the order of members make a difference."""

    def marked(value):
        if isinstance(value, Ordered):
            return ("object", [(name, marked(member)) for name, member in value])
        if isinstance(value, list):
            return ("array", [marked(item) for item in value])
        return (type(value).__name__, value)

    return marked(json.loads(text, object_pairs_hook=Ordered))


def cases():
    for path in sorted(CASES.rglob("*.sf")):
        if path.name.startswith("_") or path.parent.name == "lib":
            continue
        name = str(path.relative_to(CASES).with_suffix(""))
        marks = [pytest.mark.xfail(reason=NOT_YET[name], strict=True)] if name in NOT_YET else []
        yield pytest.param(path, id=name, marks=marks)


@pytest.mark.parametrize("path", cases())
def test_case_gives_what_is_written_beside_it(path):
    expected, error = path.with_suffix(".json"), path.with_suffix(".error")

    if error.exists():
        check_failure(path, json.loads(error.read_text()))
    else:
        check_result(path, expected.read_text())


def check_result(path, expected):
    compiled = sfdl.compile(path, environment=ENVIRONMENT)
    assert strict(compiled.to_json()) == strict(expected)

    read_back = sfdl.from_json(expected)
    assert strict(sfdl.to_json(read_back)) == strict(expected)

    recompiled = sfdl.compile(compiled.source(), environment=ENVIRONMENT)
    assert strict(recompiled.to_json()) == strict(expected)


def check_failure(path, expected):
    with pytest.raises(sfdl.CompileError) as caught:
        sfdl.compile(path, environment=ENVIRONMENT)

    offenders = expected.get("offenders", [expected["offender"]] if "offender" in expected else [])
    assert {diagnostic.phase for diagnostic in caught.value.diagnostics} == {expected["phase"]}
    rendered = str(caught.value)
    assert [offender for offender in offenders if offender not in rendered] == []


def test_every_case_has_an_expectation():
    lacking = [
        param.id
        for param in cases()
        if not any(param.values[0].with_suffix(suffix).exists() for suffix in (".json", ".error"))
    ]

    assert lacking == []
