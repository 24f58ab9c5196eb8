from __future__ import annotations

import pytest

import sfdl

PREDICATES = '#include "org/smartfrog/predicates.sf"\n'


def kept(text):
    """Compile a body and return it with its attribute `f`."""
    root = sfdl.compile(f"{PREDICATES}sfConfig extends {{ {text} }}").root
    return root, root.get("f")


def test_needs_lists_references_in_the_order_written():
    _, function = kept("a LAZY x; b LAZY y; f (b + (a * 2) + b);")

    shown = [
        (need.slot, need.level, sfdl.reference_text(need.reference))
        for need in sfdl.needs(function)
    ]

    assert shown == [(("--0",), 1, "b"), (("--1", "--0"), 2, "a"), (("--2",), 1, "b")]


def test_parents_that_leave_the_application_are_left_out_as_seen_from_the_holder():
    _, function = kept("f (LAZY PARENT:x + (LAZY PARENT:PARENT:PARENT:y * 2));")

    shown = [sfdl.reference_text(need.at_holder) for need in sfdl.needs(function)]

    assert shown == ["HERE x", "PARENT:y"]


def test_parent_to_the_holder_itself_is_this():
    _, function = kept("f [LAZY PARENT];")

    assert sfdl.reference_text(sfdl.needs(function)[0].at_holder) == "THIS"


def test_value_is_computed_from_what_was_resolved():
    root, function = kept("n LAZY m; k 3; f ((n + k) * 2);")
    (need,) = sfdl.needs(function)

    assert sfdl.evaluate(function, {need: 4}, root) == 14


def test_need_without_a_value_is_an_error_that_names_it():
    root, function = kept("n LAZY m; f (n + 1);")

    with pytest.raises(sfdl.EvaluationError, match="`n` was not resolved"):
        sfdl.evaluate(function, {}, root)


def test_wrong_kind_at_run_time_is_an_error_that_names_it():
    root, function = kept("n LAZY m; f (n + 1);")
    (need,) = sfdl.needs(function)

    with pytest.raises(sfdl.EvaluationError, match="a string"):
        sfdl.evaluate(function, {need: "four"}, root)


def test_names_local_to_a_switch_are_no_needs():
    root, function = kept(
        'n LAZY m; f SWITCH { k (n + 1); } IF (k == 4) THEN "four" IF true THEN k ENDSWITCH;'
    )
    (need,) = sfdl.needs(function)

    assert sfdl.reference_text(need.reference) == "n"
    assert sfdl.evaluate(function, {need: 3}, root) == "four"
    assert sfdl.evaluate(function, {need: 9}, root) == 10


def test_operator_slots_do_not_capture_names_at_run_time():
    root, function = kept("left LAZY m; right LAZY n; f (left - right);")
    left, right = sfdl.needs(function)

    assert sfdl.evaluate(function, {left: 9, right: 4}, root) == 5


def test_kinds_survive_evaluation():
    root, function = kept("n LAZY m; f (n + 1L);")
    (need,) = sfdl.needs(function)

    assert sfdl.evaluate(function, {need: 4}, root) == sfdl.Long(5)


def test_component_among_the_arguments_is_handed_through():
    root, function = kept("n LAZY m; f IF n THEN (extends { a 1; }) ELSE 2 FI;")
    (need,) = sfdl.needs(function)

    assert sfdl.evaluate(function, {need: True}, root) == sfdl.Description((("a", 1),))


def test_assertion_that_holds_gives_true():
    root, assertion = kept("port 80; f extends Assertions { low (port < 1024); }")
    (need,) = sfdl.needs(assertion)

    assert sfdl.evaluate(assertion, {need: 80}, root) is True


def test_assertion_that_does_not_hold_is_named():
    root, assertion = kept("port 80; f extends Assertions { low (port < 1024); }")
    (need,) = sfdl.needs(assertion)

    with pytest.raises(sfdl.EvaluationError, match="`low`") as caught:
        sfdl.evaluate(assertion, {need: 8080}, root)
    assert caught.value.code == "SF-ASSERT-001"


def test_schema_is_checked_against_the_holder_as_it_is_then():
    root, schema = kept("f extends Schema { port extends Integer; } port 80;")

    assert sfdl.evaluate(schema, {}, root) is True
    with pytest.raises(sfdl.EvaluationError, match="`port` is a string"):
        sfdl.evaluate(schema, {}, root.replaced("port", "http"))


def test_reference_kept_as_data_is_no_need():
    root, function = kept("n LAZY m; f [DATA x, n];")
    (need,) = sfdl.needs(function)

    value = sfdl.evaluate(function, {need: 1}, root)

    assert value == sfdl.Vector((sfdl.parse_reference("DATA x"), 1))
