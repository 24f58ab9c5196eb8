"""`Process`: a program as a component."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
from collections.abc import Mapping
from typing import NoReturn

import msgspec
from typing_extensions import override

from components.system.filters import Filter, filters_, search
from components.system.jobs import job_done, leave_parent
from components.system.kinds import command_, line_, ready_, signal_, statuses_, variables_
from components.system.notices import Notices
from components.system.program import Program
from components.system.running import Running
from engine.core.faults import BadDescription
from engine.core.records import Record
from engine.runtime.attributes import attr, output
from engine.runtime.kinds import bool_, duration_s, str_

NOTIFY = "notify"
LOOPBACK = "localhost"


class Process(Running, type="system.process"):
    """Runs a program in a session of its own; a restarted daemon takes it up again."""

    command = attr(command_, doc="Program and arguments.", called="cmd")
    folder = attr(line_, "/", doc="Folder it works in.", called="dir")
    environment = attr(variables_, None, doc="Further variables, as DATA.", called="env")
    user = attr(line_, "", doc="User it runs as; the daemon's own if empty.")
    stdin = attr(str_, None, doc="What it reads from its standard input; nothing if not given.")
    auto_start = attr(
        bool_, True, doc="Start it with the component, not only when `begin` is called.",
        called="autoStart",
    )  # fmt: skip
    restart = attr(bool_, False, doc="Start it again whenever it ends, after a pause that grows.")
    terminate = attr(bool_, False, doc="End normally when the program ends well.")
    detach = attr(bool_, False, doc="When the program ends well, leave the parent first.")
    ok_exit = attr(statuses_, (0,), doc="Exit statuses that are no failure.", called="okExit")
    stop_signal = attr(signal_, "TERM", doc="What asks it to stop.", called="stopSignal")
    log_out = attr(line_, "", doc="File for its output.", called="logOut")
    log_err = attr(line_, "", doc="File for its errors; with its output if empty.", called="logErr")
    filters_out = attr(
        filters_, (), called="filtersOut",
        doc='What lines of its output become: lists of a pattern, "attribute" or "event", a name.',
    )  # fmt: skip
    filters_err = attr(filters_, (), doc="The same for its errors.", called="filtersErr")
    ready = attr(
        ready_, "", called="ready",
        doc="It is ready once its output shows this pattern, this TCP port of the host is open, or"
        ' it says so itself ("notify"); at once if empty.',
    )  # fmt: skip
    ready_timeout = attr(duration_s, 60, doc="Seconds until ready.", called="readyTimeout")
    status = output(str, doc="What the program says of itself, with `notify`.")

    def __init__(self) -> None:
        """Run nothing yet."""
        super().__init__()
        self._seen_ready = False
        self._notices: Notices | None = None

    # -- before anything starts

    @override
    def look_over(self) -> None:
        super().look_over()
        if self.restart and (self.terminate or self.detach):
            word = "terminate" if self.terminate else "detach"
            self._refuse(f"restart and {word} cannot both be true: it never ends by itself")
        self._check_user()
        taken = {*type(self).declarations.attrs, *type(self).declarations.outputs}
        for each in (*self.filters_out, *self.filters_err):
            if each.becomes == "attribute" and each.name in taken:
                self._refuse(f"a filter cannot write {each.name}: the component has it already")

    def _check_user(self) -> None:
        if not self.user:
            return
        try:
            wanted = pwd.getpwnam(self.user).pw_uid
        except KeyError:
            self._refuse(f"user: there is no user {self.user} on this host")
        if os.geteuid() not in {0, wanted}:
            self._refuse(f"user: only a daemon of root can run a program as {self.user}")
        if shutil.which("setpriv") is None:
            self._refuse("user: needs the program setpriv of the package util-linux")

    def _refuse(self, text: str) -> NoReturn:
        raise BadDescription(text, where=self.path, code="SF-ATTR-001")

    # -- running it

    @override
    def starts_at_once(self) -> bool:
        return self.auto_start

    @override
    def starts_again(self) -> bool:
        return self.restart

    @override
    async def program(self) -> Program:
        begun = self.begin_with(
            *self.command, folder=self.folder, out=self.log_out, err=self.log_err
        )
        variables = dict(self.environment or ())
        if self.user:
            home = pwd.getpwnam(self.user).pw_dir
            variables = {"HOME": home, "USER": self.user, "LOGNAME": self.user, **variables}
        if self.ready == NOTIFY:
            variables["NOTIFY_SOCKET"] = Notices.address_of(begun.token)
        return msgspec.structs.replace(
            begun, environment=tuple(variables.items()), text=self.stdin, user=self.user,
            stop_signal=int(self.stop_signal),
        )  # fmt: skip

    @override
    async def before(self, program: Program, *, adopted: bool) -> None:
        self._seen_ready = adopted
        if self.ready == NOTIFY and self._notices is None:
            self._notices = Notices(program.token, self._told_notice)

    def _told_notice(self, notice: Mapping[str, str]) -> None:
        if "STATUS" in notice:
            self.status = notice["STATUS"]
        if notice.get("READY") == "1":
            self._seen_ready = True
        if notice.get("STOPPING") == "1":
            self.set_ready(False)

    @override
    async def is_ready(self) -> bool:
        if isinstance(self.ready, int):
            return await _is_open(self.ready)
        return not self.ready or self._seen_ready

    @override
    def ready_within_s(self) -> float:
        return self.ready_timeout

    @override
    def follows(self) -> bool:
        pattern = isinstance(self.ready, str) and self.ready not in {"", NOTIFY}
        return bool(self.filters_out or self.filters_err) or (pattern and not self._seen_ready)

    @override
    def told(self, line: str, *, error: bool, new: bool) -> None:
        if isinstance(self.ready, str) and self.ready not in {"", NOTIFY}:
            self._seen_ready = self._seen_ready or bool(re.search(self.ready, line))
        filters: tuple[Filter, ...] = self.filters_err if error else self.filters_out
        for found in search(filters, line):
            if found.filter.becomes == "attribute":
                self.live.write(found.filter.name, found.value)
            elif new:
                self.emit(found.filter.name, line=line, **dict(found.groups))

    # -- its end

    @override
    async def program_ended(self, status: int | None) -> None:
        words = self.words(status)
        if not self.is_good_end(status):
            await self.finish(Record.abnormal(words))
            return
        if self.detach:
            await leave_parent(self)
        if self.terminate:
            await self.finish(Record.normal(words))
        else:
            await job_done(self, Record.normal(words))

    @override
    def is_good_end(self, status: int | None) -> bool:
        return status in self.ok_exit

    @override
    async def on_terminate(self, record: Record) -> None:
        await super().on_terminate(record)
        if self._notices is not None:
            self._notices.close()
            self._notices = None


async def _is_open(port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
