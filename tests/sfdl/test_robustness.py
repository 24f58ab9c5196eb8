"""Hostile text ends in a diagnostic, in bounded time; compilation is deterministic."""

from __future__ import annotations

import gc
import random
import threading
from pathlib import Path

import pytest

import sfdl
from sfdl import pause
from sfdl.compiler import check_description
from sfdl.pause import collection_paused

DESCRIPTIONS = Path(__file__).resolve().parents[2] / "descriptions"
FUNCTIONS = '#include "org/smartfrog/functions.sf"\n'


def doubling(first, step, count):
    return f"sfConfig extends {{ {first} {' '.join(step.format(i=i, j=i + 1) for i in range(count))} }}"


HOSTILE = {
    "set": (
        FUNCTIONS + "sfConfig extends { s extends Set { setElem extends {} setSize 1000000000; } }",
        "SF-LIMIT-002",
    ),
    "set of large components": (
        FUNCTIONS
        + f"sfConfig extends {{ s extends Set {{ setElem extends {{ {'a extends {} ' * 3}"
        + " ".join(f"c{i} extends {{}}" for i in range(3000))
        + "} setSize 900000; } }",
        "SF-LIMIT-002",
    ),
    "links": (doubling("a0 extends {}", "a{j} extends {{ x a{i}; y a{i}; }}", 60), "SF-LIMIT-003"),
    "strings": (doubling('a0 "xxxxxxxx";', "a{j} (a{i} ++ a{i});", 60), "SF-LIMIT-002"),
    "formats": (
        FUNCTIONS
        + doubling(
            'a0 "xxxxxxxx";', 'a{j} extends formatString {{ format "$0$0$0"; s0 a{i}; }}', 40
        ),
        "SF-LIMIT-002",
    ),
    "vectors": (doubling("a0 [1];", "a{j} [a{i}, a{i}];", 60), "SF-LIMIT-002"),
    "joined vectors": (doubling("a0 [1];", "a{j} (a{i} <> a{i});", 60), "SF-LIMIT-002"),
    "deep vectors": (doubling("a0 [1];", "a{j} [a{i}];", 3000), "SF-LIMIT-002"),
    "products": (doubling("a0 9L;", "a{j} (a{i} * a{i});", 60), "SF-FUNCTION-001"),
    "deep bodies": ("sfConfig " + "extends { a " * 50_000, "SF-LIMIT-004"),
    "deep operators": ("sfConfig extends { v " + "(" * 50_000, "SF-LIMIT-004"),
    "deep literal vectors": ("sfConfig extends { v " + "[|" * 50_000, "SF-LIMIT-004"),
    "digits": ("sfConfig extends { v " + "9" * 200_000 + "; }", "SF-PARSE-002"),
    "digits of a long": ("sfConfig extends { v " + "9" * 200_000 + "L; }", "SF-PARSE-002"),
    "digits of a float": ("sfConfig extends { v " + "9" * 200_000 + ".0F; }", "SF-PARSE-002"),
    "exponent": ("sfConfig extends { v 1e" + "9" * 5000 + "; }", "SF-PARSE-002"),
    "unclosed strings": ('sfConfig extends { v "' * 20_000, "SF-PARSE-001"),
    "unclosed comments": ("/* " * 100_000, "SF-PARSE-001"),
    "backslashes": ('sfConfig extends { v "' + "\\" * 100_001, "SF-PARSE-001"),
    "name of a file": (f'#include "{"x" * 5000}.sf"', "SF-INCLUDE-001"),
    "zero in the name of a file": ('#include "a\\000b.sf"', "SF-INCLUDE-001"),
    "broken after include": ('include"x" #codebase\n"y" "z" #codebase\n"y"', "SF-PARSE-001"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("text", "code"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_ends_in_a_diagnostic(text, code):
    with pytest.raises(sfdl.CompileError) as caught:
        sfdl.compile(text)

    assert code in {one.code for one in caught.value.diagnostics}
    assert max(map(len, caught.value.diagnostics[0].render().splitlines())) < 6000


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    [
        doubling("a0 extends {} b0 extends {}", "a{j} extends {{ x a{i}; y a{i}; }} "
        "b{j} extends {{ x b{i}; y b{i}; }}", 19) + " ",
        "sfConfig extends { " + "".join(
            f"a:{':'.join('b' * i)} extends {{}};" for i in range(200, 0, -1)
        ) + " a extends {} }",
        "p0 extends {} " + " ".join(f"p{i + 1} extends p{i}, p{i};" for i in range(3000))
        + " sfConfig extends p3000;",
        "sfConfig extends { " + "a" * 500_000 + " 1; }",
    ],
    ids=["shared components", "placements in the wrong order", "prototypes twice", "long name"],
)  # fmt: skip
def test_costly_text_that_is_right_compiles(text):
    assert sfdl.compile(text).root.attributes or "p3000" in text


def test_excerpt_of_a_long_line_is_cut_around_the_offender():
    with pytest.raises(sfdl.CompileError) as caught:
        sfdl.compile("sfConfig extends { " + "a 1; " * 1000 + "here gone; " + "b 1; " * 1000 + "}")

    shown = caught.value.diagnostics[0].render().splitlines()

    assert len(shown[1]) < 200
    assert shown[1][shown[2].index("^") :].startswith("gone;")


# ---- always the same


TEMPLATES = [
    "A extends { x 1; y x; }",
    "B extends A { z y; }",
    "C extends D:inner { w 2; }",
    "D extends { inner extends B; }",
    "E extends C, B;",
    "outer 5;",
    "F extends { deep extends E { x outer; } }",
]


@pytest.mark.parametrize("seed", range(20))
def test_order_of_templates_makes_no_difference(seed):
    order = list(TEMPLATES)
    random.Random(seed).shuffle(order)
    subject = "sfConfig extends { f extends F; e extends E; c C; }"

    assert (
        sfdl.compile(" ".join([*order, subject])).to_json()
        == sfdl.compile(" ".join([subject, *TEMPLATES])).to_json()
    )


@pytest.mark.parametrize("seed", range(20))
def test_order_of_attributes_changes_their_order_only(seed):
    lines = ["a b;", "b (c + 1);", "c d:e;", "d extends { e 4; f PARENT:a; }", "g [a, b];", "h d;"]
    shuffled = list(lines)
    random.Random(seed).shuffle(shuffled)

    def values(chosen):
        root = sfdl.compile(f"sfConfig extends {{ {' '.join(chosen)} }}").root
        return {name: sfdl.to_json(value) for name, value in root.attributes}

    assert values(shuffled) == values(lines)


def test_threads_get_the_same_result_and_the_collector_back():
    text = "T extends { a 1; b a; } sfConfig extends { " + "".join(
        f"v{i} extends T {{ a {i}; }}" for i in range(300)
    )
    text += " }"
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(sfdl.compile(text).to_json()))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 6
    assert set(results) == {sfdl.compile(text).to_json()}
    assert gc.isenabled()


def test_collector_stays_off_until_the_last_pause_ends():
    with collection_paused():
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_collector_is_on_again_after_a_failure():
    with pytest.raises(sfdl.CompileError):
        sfdl.compile("sfConfig extends { a gone; }")

    assert gc.isenabled()


# ---- what is shipped

PARAMETERS = {
    "qemuPool.sf": [
        (f"sfConfig:{name}", "given")
        for name in ("uri", "guestKernel", "guestRamdisk", "guestDisk")
    ]
}
"""What examples leave open for the command line."""


def shipped():
    return [pytest.param(path, id=path.name) for path in sorted(DESCRIPTIONS.rglob("*.sf"))]


@pytest.mark.parametrize("path", shipped())
def test_shipped_description_has_no_findings(path):
    found, _ = check_description(path, overrides=PARAMETERS.get(path.name, ()))

    assert found == [], "\n".join(one.render() for one in found)


def test_what_compilations_leave_does_not_pile_up():
    text = "T extends { a 1; b a; } sfConfig extends { " + "x extends { y extends T; } " * 200 + "}"
    sfdl.compile(text)
    gc.collect()
    before = len(gc.get_objects())

    for _ in range(100):
        sfdl.compile(text)

    assert len(gc.get_objects()) < before + 100_000


def test_what_large_compilations_leave_is_examined_when_it_has_become_much(monkeypatch):
    monkeypatch.setattr(pause, "LARGE", 1_000)
    monkeypatch.setattr(pause, "MOST_UNEXAMINED", 50_000)
    text = "T extends { a 1; b a; } sfConfig extends { " + "-- extends T; " * 1000 + "}"
    sfdl.compile(text)
    gc.collect()
    before = len(gc.get_objects())

    for _ in range(50):
        sfdl.compile(text)

    assert len(gc.get_objects()) < before + 100_000


def test_objects_that_the_program_has_frozen_stay_frozen(monkeypatch):
    monkeypatch.setattr(pause, "LARGE", 0)
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        sfdl.compile("sfConfig extends { a 1; }")
        assert gc.get_freeze_count() > 0.9 * before > 0
    finally:
        gc.unfreeze()


def test_what_a_large_compilation_made_is_not_examined_at_once(monkeypatch):
    monkeypatch.setattr(pause, "LARGE", 1_000)
    sfdl.compile("sfConfig extends { " + "a extends {} " * 5000 + "}")

    assert gc.get_count()[0] < 700
