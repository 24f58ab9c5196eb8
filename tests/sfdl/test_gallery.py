"""Every diagnostic code has an example that gives it, a repair that is clean, and a current page."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
WITHOUT_EXAMPLE = {"SF-FORMAT-001"}
"""Codes of exceptions that are no diagnostics."""

spec = importlib.util.spec_from_file_location("gallery", HERE / "gallery.py")
gallery = importlib.util.module_from_spec(spec)
import sys  # noqa: E402 - dataclasses look their module up

sys.modules["gallery"] = gallery
spec.loader.exec_module(gallery)


def test_every_code_of_the_compiler_has_an_example():
    used = {
        code
        for path in (PROJECT / "sfdl").rglob("*.py")
        for code in re.findall(r"SF-[A-Z]+-[0-9]{3}", path.read_text())
    }

    assert used - WITHOUT_EXAMPLE == {example.code for example in gallery.EXAMPLES}


@pytest.mark.parametrize("example", gallery.EXAMPLES, ids=lambda example: example.code)
def test_example_gives_its_code_and_no_other(example):
    found, _ = gallery.findings(example)

    assert {one.code for one in found} == {example.code}


@pytest.mark.parametrize("example", gallery.EXAMPLES, ids=lambda example: example.code)
def test_repaired_example_has_no_findings(example):
    found, text = gallery.findings(example, repaired=True)

    assert found == [], text


def test_page_is_what_the_compiler_says_today():
    page = PROJECT / "docs" / "language" / "diagnostics.md"

    assert page.read_text() == gallery.page()
