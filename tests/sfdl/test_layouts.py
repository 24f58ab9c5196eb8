"""The layouts of scopes: what the phases pass over is nothing they would have to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfdl.cases import environment_of
from sfdl.compiler import compile_description
from sfdl.graph import Layout, Scope, scopes
from tests.sfdl.test_conformance import CASES

TEXTS = sorted(path for path in CASES.rglob("*.sf") if path.with_suffix(".json").exists())


def every_scope(root: Scope) -> list[Scope]:
    """Find all scopes without using their layouts."""
    found = [root]
    for scope in found:
        found.extend(
            cell.value
            for cell in scope.attributes.values()
            if cell.value.__class__ is Scope and cell.value.parent is scope
        )
    return found


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(CASES)))
def test_no_phase_leaves_a_layout_without_a_special_attribute(path: Path) -> None:
    def check(phase: str, root: Scope) -> None:
        everything = every_scope(root)
        assert {id(scope) for scope in scopes(root)} == {id(scope) for scope in everything}, phase
        for scope in everything:
            now, kept = Layout(scope.attributes), scope.layout()
            assert [name for name in kept.special if name in set(now.special)] == now.special
            assert [name for name in kept.special if name not in scope.attributes] == []
            placements = [name for name in now.inner if isinstance(name, tuple)]
            assert [name for name in kept.inner if isinstance(name, tuple)] == placements

    environment = environment_of(path, CASES, {})

    compile_description(path, environment=environment, progress=check)
