"""Attributes that no type declares: told if they look misspelt, refused where only declared ones may be."""

from __future__ import annotations

import pytest

import sfdl
from engine.core.faults import BadDescription
from engine.runtime.spelling import undeclared
from engine.runtime.types import Types
from engine.testing.kit import engines

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    {above}
    mine 5;
    one extends Supervisor {{ intensty 3; colour "red"; {more} }}
}}
"""
MISSPELT = "intensty is no attribute of a Supervisor; did you mean intensity?"
UNKNOWN = "colour is no attribute of a Supervisor"


def found(above="", more=""):
    root = sfdl.compile(POOL.format(above=above, more=more)).root
    return [(each.path, each.text, each.refused) for each in undeclared(root, "app", Types())]


def test_a_name_almost_like_a_declared_one_is_told_and_others_are_nobodys_business():
    assert found() == [("app:one", MISSPELT, False)]


def test_strict_counts_for_a_component_and_all_below_and_can_be_taken_back():
    on, off = "strictAttributes true;", "strictAttributes false;"
    below = [("app:one", MISSPELT, True), ("app:one", UNKNOWN, True)]

    assert found(more=on) == below
    assert found(above=on) == [("app", "mine is no attribute of a Compound", True), *below]
    assert found(above=on, more=off) == [
        ("app", "mine is no attribute of a Compound", True), ("app:one", MISSPELT, False),
    ]  # fmt: skip


def test_strict_is_true_or_false():
    assert found(above="strictAttributes 1;")[0] == (
        "app", "strictAttributes must be true or false (got 1)", True,
    )  # fmt: skip


async def test_a_start_says_what_looks_misspelt_and_refuses_it_where_that_is_wished(
    tmp_path, caplog
):
    plain, strict = (
        sfdl.compile(POOL.format(above=above, more=more)).root
        for above, more in (("", ""), ("", "strictAttributes true;"))
    )
    async with engines(tmp_path / "state", 1) as (_, (one,)):
        await one.deploy("app", plain)
        assert f"app:one: {MISSPELT}" in caplog.text

        with pytest.raises(BadDescription, match="did you mean intensity") as refused:
            await one.deploy("other", strict)

        assert (refused.value.fault.code, refused.value.fault.where) == ("SF-ATTR-004", "other:one")
        assert [each.message for each in refused.value.fault.causes] == [UNKNOWN]
        assert list(one.process.apps) == ["app"]
        await one.terminate("app")
