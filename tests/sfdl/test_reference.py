"""Every example of the reference compiles, and gives what stands below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sfdl
from sfdl.cases import strict
from sfdl.compiler import check_description

PAGE = Path(__file__).resolve().parents[2] / "docs" / "language" / "reference.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples():
    blocks = FENCE.findall(PAGE.read_text())
    for index, (kind, text) in enumerate(blocks):
        if kind == "sf":
            following, result = blocks[index + 1] if index + 1 < len(blocks) else ("", "")
            assert following == "json", text
            yield pytest.param(text, result, id=f"example {index}")


@pytest.fixture
def beside(tmp_path, monkeypatch):
    (data,) = [text for kind, text in FENCE.findall(PAGE.read_text()) if kind == "csv"]
    (tmp_path / "hosts.csv").write_text(data)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("text", "result"), examples())
def test_example_gives_the_result_below_it(beside, text, result):
    found, _ = check_description(text)

    assert found == []
    assert strict(sfdl.compile(text).to_json()) == strict(result)


def test_there_are_examples():
    assert len(list(examples())) >= 12
