"""Notes of whose a thing is, for things that cannot carry a record: pools and volumes of a hypervisor.

A note is a small file of the daemon's. It is written before the thing is made, so that what is half
made is known as ours, and goes with it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from engine.core.decoding import from_json
from engine.runtime.effects import Owner

NOBODY = Owner("", "", "", 0)


class Note(Struct, frozen=True):
    """What is known of a thing.

    Attributes:
        owner: Whose it is.
        whole: It has been made to the end.
        target_made: The folder below it was made for it, and goes with it.
    """

    owner: Owner
    whole: bool = False
    target_made: bool = False


def read(path: str) -> Note | None:
    """Read a note; none if there is none, one of nobody if it cannot be understood; blocks."""
    try:
        return from_json(Path(path).read_bytes(), Note)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        return Note(NOBODY)


def write(path: str, note: Note) -> None:
    """Write a note, whole or not at all; blocks."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(msgspec.json.encode(note))
    part.replace(file)


def forget(path: str) -> None:
    """Remove a note, and its folder if it was the last one; blocks."""
    file = Path(path)
    file.unlink(missing_ok=True)
    try:
        file.parent.rmdir()
    except OSError:  # others are there
        return
