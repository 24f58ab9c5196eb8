"""Notes on a host."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from smartdomains import (
    Effect,
    Presence,
    Prim,
    Site,
    Unwell,
    attr,
    exposed,
    on_change,
    output,
    str_,
)


class NoteFile(Effect, frozen=True):
    """A text file with its owner in the first line."""

    path: str
    text: str

    def owner(self) -> str:
        """Return whose file it is; nothing if there is none."""
        file = Path(self.path)
        return file.read_text("utf-8").partition("\n")[0] if file.exists() else ""

    def write(self, owner: str) -> None:
        """Write the file; may block."""
        Path(self.path).write_text(f"{owner}\n{self.text}\n", "utf-8")

    async def look(self, at: Site) -> Presence:
        """Find out whose file is there."""
        owner = await at.blocking(self.owner)
        if not owner:
            return Presence.ABSENT
        return Presence.OURS if owner == at.owner.path else Presence.FOREIGN

    async def make(self, at: Site) -> Self:
        """Write it."""
        await at.blocking(self.write, at.owner.path)
        return self

    async def undo(self, at: Site) -> None:
        """Remove it if it is ours; that it is gone is as good."""
        if await at.blocking(self.owner) == at.owner.path:
            await at.blocking(Path(self.path).unlink)


class Note(Prim, type="notes.note"):
    """A note on the host, there as long as the component lives.

    Example:
        hello extends Note { file "/tmp/hello"; text "I was here"; }

    Events:
        rewritten: The text was changed while it runs; with `text`.
    """

    file = attr(str_, doc="Path of the note.")
    text = attr(str_, "hello", doc="What it says.")
    written = output(str, doc="Path of the note once it is there.")

    async def on_start(self) -> None:
        """Write the note; it is removed at the end whatever happens."""
        self.written = (await self.make(NoteFile(self.file, self.text))).path

    async def check(self) -> None:
        """Be unwell when somebody has taken the note away."""
        if not Path(self.file).exists():
            raise Unwell(f"{self.file} is gone")

    @on_change("text")
    async def rewrite(self, old: str, new: str) -> None:
        """Write a new text where the old one was."""
        del old
        note = NoteFile(self.file, new)
        await self.run_blocking(note.write, self.path)
        self.emit("rewritten", text=new)

    @exposed(role="viewer")
    async def read(self) -> str:
        """Return what the note says now."""
        whole: str = await self.run_blocking(Path(self.file).read_text, "utf-8")
        return whole.partition("\n")[2].rstrip("\n")
