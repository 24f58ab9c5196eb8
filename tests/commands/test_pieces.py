"""The pure pieces of commands: exit codes, arguments, trees and plans as text."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands import _values
from engine.commands._changing import plan_lines
from engine.commands._drawing import Line, drawn
from engine.commands._exit import Exit, exit_of
from engine.commands.sfca import ROLES
from engine.core.faults import Fault, Kind
from engine.security.identity import Role
from engine.testing.kit import tree
from engine.wire.messages import Plan, PlanRow

CODES = {
    Kind.NOT_FOUND: 7, Kind.ENDED: 7, Kind.WRONG_STATE: 1, Kind.NAME_IN_USE: 8, Kind.REFUSED: 1,
    Kind.NOT_ALLOWED: 5, Kind.UNREACHABLE: 1, Kind.TIMEOUT: 6, Kind.BAD_DESCRIPTION: 3,
    Kind.HOOK_FAILED: 1, Kind.DRAINING: 1, Kind.BUSY: 1, Kind.INTERNAL: 1,
}  # fmt: skip


def test_every_kind_of_failure_has_its_exit_code():
    assert {kind: int(exit_of(Fault(kind, "x"))) for kind in Kind} == CODES


def test_leftovers_win_and_a_component_not_found_while_deploying_is_a_failure():
    assert exit_of(Fault(Kind.HOOK_FAILED, "x", leftovers=("y",))) is Exit.LEFTOVERS
    assert exit_of(Fault(Kind.NOT_FOUND, "x", phase="start")) is Exit.FAILED


def test_roles_of_clients_are_all_but_that_of_daemons():
    assert set(ROLES) == {role.value for role in Role if role is not Role.PEER}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["memory", "5"], "no attribute of a component"),
        (["a:b"], "not REF=VALUE"),
        (["a:b=1", "c:d=2"], "one batch changes one component"),
        (["a:b=1", "a:b=2"], "named twice"),
        (["a:=1", "a:b=2"], "no attribute"),
    ],
)
def test_wrong_assignments_are_refused_in_words(words, said):
    with pytest.raises(click.UsageError, match=said):
        _values.assignments(words)


def test_a_reference_is_read_as_one_when_it_says_lazy():
    assert _values.value_of("LAZY PARENT:word").lazy
    assert _values.value_of("PARENT:word") == "PARENT:word"
    with pytest.raises(click.UsageError, match="no reference"):
        _values.value_of("LAZY a::b")


DEPTHS = st.lists(st.integers(0, 6), max_size=60).map(
    lambda steps: [0, *(max(1, min(depth, index + 1)) for index, depth in enumerate(steps))]
)


@given(DEPTHS)
def test_a_drawn_tree_shows_the_depth_of_each_line(depths):
    tidy = []
    for depth in depths:
        tidy.append(min(depth, tidy[-1] + 1 if tidy else 0))
    lines = drawn([Line(depth, f"n{number}") for number, depth in enumerate(tidy)]).splitlines()
    assert [line.index("n") // 3 for line in lines] == tidy
    for number, (line, depth) in enumerate(zip(lines, tidy, strict=True)):
        after = next((each for each in tidy[number + 1 :] if each <= depth), -1)
        if depth:
            assert line[3 * depth - 3] == ("├" if after == depth else "└")


def test_a_plan_is_a_tree_with_signs_reasons_and_new_values():
    new = tree({"a": {"b": {"size": 5, "kind": "x"}}, "z": {}})
    rows = (
        PlanRow("a:b", "~", "B", "h:1", attributes=("size", "gone")),
        PlanRow("old", "-", "", "h:1"),
        PlanRow("a:c", "+/-", "C", "h:1", "its place differs"),
        PlanRow("z", "+", "Z", "h:1"),
    )
    lines = plan_lines("app", Plan(rows, (), "d"), new)
    assert drawn(lines).splitlines() == [
        "    app",
        "├─     a",
        "│  ├─ ~   b  B  h:1  size 5, no gone",
        "│  └─ +/- c  C  h:1  (its place differs)",
        "├─ -   old      h:1",
        "└─ +   z     Z  h:1",
    ]
