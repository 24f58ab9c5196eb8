"""`Script`: scripts of a shell in the phases of a component's life."""

from __future__ import annotations

import contextlib
import secrets
import shlex
from pathlib import Path
from typing import ClassVar, Self

from typing_extensions import override

from components.system.jobs import done_with, grown
from components.system.kinds import script_
from components.system.sharing import OwnShell
from components.system.shell import Shell
from engine.core.faults import EngineError, Refused
from engine.core.records import Record
from engine.prim import Prim
from engine.runtime.attributes import attr, link
from engine.runtime.effects import Effect, Presence, Site
from engine.runtime.kinds import bool_, duration_s, str_
from sfdl.values import Value

PHASE_S = 630


class Counterpart(Effect, frozen=True):
    """Scripts that undo what others have done; run by a shell of its own if nobody has run them.

    Attributes:
        mark: File that says that they are still to be run.
        shell: How to run them without the shell that was to do it.
    """

    scripts: tuple[str, ...]
    mark: str
    timeout_s: float
    shell: OwnShell

    @override
    def label(self) -> str:
        return "terminateScript"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.OURS if Path(self.mark).exists() else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(_touch, self.mark)
        return self

    @override
    async def undo(self, at: Site) -> None:
        if not Path(self.mark).exists():
            return
        shell = self.shell
        for script in self.scripts if shell.command else ():
            variables = tuple(f"{name}={value}" for name, value in shell.environment)
            text = f"cd -- {shlex.quote(shell.folder)} && {script}" if shell.folder else script
            words = ("env", *variables, *shell.command, "-c", text)
            await at.run(words, timeout_s=self.timeout_s)
        await at.blocking(Path(self.mark).unlink)


def _touch(path: str) -> None:
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    Path(path).touch()


class Script(Prim, type="system.script"):
    """Runs scripts in a shell when it is deployed, started and ended; each blocks its phase.

    The scripts for its end are run also when the start of the tree has failed, and by a shell of
    their own if the daemon was killed before they could be.
    """

    shell = link(Shell, doc="The shell that runs them.")
    deploy_script = attr(script_, (), doc="Run to deploy it.", called="deployScript")
    start_script = attr(script_, (), doc="Run to start it.", called="startScript")
    terminate_script = attr(script_, (), doc="Run to end it.", called="terminateScript")
    auto_terminate = attr(
        bool_, False, doc="End normally after startScript.", called="autoTerminate"
    )
    verbose = attr(bool_, False, doc="Log each script and what it says.")
    timeout = attr(duration_s, 600, ge=0.001, doc="Seconds each script may take.")
    fail_on = attr(
        str_, "last", choices=("last", "any"), called="failOn",
        doc="What fails the phase: the status of the last script, or of any; with `any` each runs in"
        " a sub-shell that stops at the first command that fails.",
    )  # fmt: skip

    reserved: ClassVar[dict[str, Value]] = {
        "sfDeployTimeout": PHASE_S, "sfStartTimeout": PHASE_S, "sfTerminateTimeout": PHASE_S,
    }  # fmt: skip

    def __init__(self) -> None:
        """Owe nothing yet."""
        self._counterpart: Counterpart | None = None

    @override
    async def on_deploy(self) -> None:
        if self.terminate_script:
            mark = self.work_folder / "scripts" / secrets.token_hex(16)
            shell = await self.shell.api.hold(self.path)
            counterpart = Counterpart(self.terminate_script, str(mark), self.timeout, shell)
            self._counterpart = await self.make(counterpart)
        await self._run("deployScript", self.deploy_script)

    @override
    async def on_start(self) -> None:
        await self._run("startScript", self.start_script)
        if self.auto_terminate:
            self.spawn(self._end())
        else:
            done_with(self, "startScript was run")

    async def _end(self) -> None:
        await grown(self)
        await self.finish(Record.normal("startScript was run"))

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Counterpart):
                self._counterpart = effect
                self.spawn(self.shell.api.hold(self.path))
        if self.auto_terminate:
            self.spawn(self._end())

    @override
    async def on_terminate(self, record: Record) -> None:
        counterpart = self._counterpart
        if counterpart is not None:
            try:
                await self._run("terminateScript", counterpart.scripts)
            finally:
                with contextlib.suppress(EngineError):
                    await self.shell.api.release(self.path)
            await self.run_blocking(Path(counterpart.mark).unlink, True)

    async def _run(self, phase: str, scripts: tuple[str, ...]) -> None:
        for number, script in enumerate(scripts, 1):
            text = f"(set -e\n{script}\n)" if self.fail_on == "any" else script
            output = await self.shell.api.execute(text, self.timeout)
            said = output.stdout.decode(errors="replace").rstrip()
            errors = output.stderr.decode(errors="replace").rstrip()
            if self.verbose:
                self.log.info("%s: %s", phase, script)
                for line in (*said.splitlines(), *errors.splitlines()):
                    self.log.info("%s: | %s", phase, line)
            if output.status and (self.fail_on == "any" or number == len(scripts)):
                tail = errors.splitlines()[-1:] or said.splitlines()[-1:]
                more = f": {tail[0]}" if tail else ""
                text = f"{phase} failed with status {output.status}{more}"
                raise Refused(text, where=self.path, code="SF-RUN-001")
