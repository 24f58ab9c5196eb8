"""Diagnostics point at the mistake: two hundred descriptions with one token wrong, at random."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "language" / "mutants.py"


@pytest.fixture(scope="module")
def score():
    spec = importlib.util.spec_from_file_location("mutants", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    return module.run(240, seed=7)


def told_badly(score, what):
    return "\n".join(
        f"{one.path} {one.kind} `{one.old}` -> `{one.new}`\n{shown}"
        for why, one, shown in score.bad
        if why == what
    )


def test_line_of_the_mistake_is_named(score):
    assert score.counts["rejected"] > 80
    assert score.share("line right", "rejected") >= 0.95, told_badly(score, "line")


def test_misspelled_names_are_answered_with_the_right_one(score):
    assert score.counts["misspelled"] > 15
    assert score.share("suggestion right", "misspelled") >= 0.8, told_badly(score, "suggestion")
