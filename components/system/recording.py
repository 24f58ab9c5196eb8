"""`RecordingShell`: a shell that runs nothing and remembers what it was asked."""

from __future__ import annotations

from collections import deque

from typing_extensions import override

from components.system.kinds import answers_
from components.system.sharing import Shared, ShellOutput
from engine.runtime.attributes import attr, output
from sfdl.values import Vector

MOST_SCRIPTS = 1000


class RecordingShell(Shared, type="system.recordingshell"):
    """Stands where a shell is asked for, and answers as it is told: for tests, and without tools."""

    answers = attr(
        answers_, (),
        doc="Lists of a pattern, an exit status and an output; the first pattern found in a script"
        " answers it. Any other script succeeds silently.",
    )  # fmt: skip
    scripts = output(Vector, doc="What it was asked, the latest thousand.")

    def __init__(self) -> None:
        """Have heard nothing."""
        super().__init__()
        self._heard: deque[str] = deque(maxlen=MOST_SCRIPTS)

    @override
    async def on_start(self) -> None:
        self.scripts = Vector(tuple(self._heard))

    @override
    async def answer(self, script: str, timeout_s: float) -> ShellOutput:
        """Remember a script, and answer it; a status other than 0 has its output as errors."""
        del timeout_s
        self._heard.append(script)
        self.scripts = Vector(tuple(self._heard))
        for pattern, status, said in self.answers:
            if pattern.search(script):
                text = said.encode()
                return ShellOutput(status, b"" if status else text, text if status else b"")
        return ShellOutput(0, b"", b"")
