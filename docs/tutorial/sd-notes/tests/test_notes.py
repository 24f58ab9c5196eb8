"""What a note does, in engines that run inside the test."""

from pathlib import Path

import pytest
import sd_notes.descriptions

import sfdl
from engine.core.faults import EngineError
from engine.testing.kit import engines


def compiled(file, more=""):
    note = f'n extends Note {{ file "{file}"; {more} }}'
    text = f'#include "notes/components.sf"\nsfConfig extends Compound {{ {note} }}'
    return sfdl.compile(text).root


async def test_a_note_is_there_while_its_component_lives(tmp_path):
    note = tmp_path / "note"
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        await one.deploy("app", compiled(note, 'text "bye";'))
        assert note.read_text() == "app:n\nbye\n"

        await one.terminate("app")
        assert not note.exists()


async def test_what_is_not_ours_is_left_alone_and_nothing_starts(tmp_path):
    note = tmp_path / "note"
    note.write_text("somebody's\n")
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        with pytest.raises(EngineError, match="not ours"):
            await one.deploy("app", compiled(note))
    assert note.read_text() == "somebody's\n"


async def test_its_text_may_be_changed_while_it_runs(tmp_path):
    note = tmp_path / "note"
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        await one.deploy("app", compiled(note))
        await one.set("app:n", "text", "new")

        assert await one.call("app:n", "read") == "new"


async def test_a_wrong_attribute_is_refused_with_its_name(tmp_path):
    root = compiled(tmp_path / "note")
    wrong = root.replaced("n", root.get("n").replaced("text", 3))
    async with engines(tmp_path / "state") as (_, (one,)):
        with pytest.raises(EngineError, match=r"app:n\.text: must be a string \(got 3\)"):
            await one.deploy("app", wrong)


def test_the_example_compiles():
    file = Path(sd_notes.descriptions.__file__).parent / "notes" / "example.sf"
    assert sfdl.compile(file).root.get("second").get("file").endswith("/second-note")
