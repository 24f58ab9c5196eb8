"""The five verbs: decode, have it done on the loop, encode."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from engine.core.events import Rejected
from engine.core.faults import Busy, EngineError, Fault, Kind, NotAllowed, Unreachable, fault_of
from engine.runtime.channels import Channels
from engine.runtime.permission import permit
from engine.runtime.pieces import Pieces
from engine.security.identity import Caller
from engine.wire.codec import decode, encode
from engine.wire.messages import (
    PROTOCOL,
    Answer,
    Beat,
    Hello,
    Pull,
    Pulling,
    PullLog,
    PullPiece,
    Reading,
    Request,
    Welcome,
    failed,
)

if TYPE_CHECKING:
    from engine.runtime.process import Process

SLACK_S = 40.0
"""Seconds a transport thread waits for the loop beyond the longest poll."""


class Verbs:
    """Answers encoded messages for one process."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process
        self._verbs: dict[str, Callable[[bytes, Caller], Awaitable[object]]] = {
            "hello": self._hello,
            "submit": self._submit,
            "read": self._read,
            "beat": self._beat,
            "stream": self._stream,
        }

    async def handle(self, verb: str, message: bytes, caller: Caller) -> bytes:
        """Answer one message; failures are answers too."""
        try:
            await self._open(verb)
            return encode(await self._verbs[verb](message, caller))
        except NotAllowed as error:
            self._process.tally.denied += 1
            self._process.events.publish(
                None, Rejected(caller.name, caller.address, error.fault.message)
            )
            return encode(failed(verb, error.fault))
        except EngineError as error:
            return encode(failed(verb, error.fault))
        except msgspec.DecodeError as error:
            fault = Fault(
                Kind.REFUSED, f"message not understood: {error}", code="SF-WIRE-001",
                hint="run the same version on both sides",
            )  # fmt: skip
            return encode(failed(verb, fault))
        except Exception as error:
            self._process.log.exception("%s failed", verb)
            return encode(failed(verb, fault_of(error)))

    async def _open(self, verb: str) -> None:
        """Wait until what an earlier life left has been taken up or undone; nothing once we leave."""
        if self._process.leaving:
            raise Unreachable(f"{self._process.address} is going down")
        if verb == "hello":
            return
        try:
            async with asyncio.timeout(SLACK_S / 2):
                await self._process.recovered.wait()
        except TimeoutError as error:
            raise Busy("the daemon is still taking up what an earlier life left") from error

    def from_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[str, bytes, Caller], bytes]:
        """Return a function for transport threads that waits for the loop's answer."""

        def handle(verb: str, message: bytes, caller: Caller) -> bytes:
            answer = self.handle(verb, message, caller)
            future = asyncio.run_coroutine_threadsafe(answer, loop)
            try:
                return future.result(SLACK_S)
            except TimeoutError:
                future.cancel()
                return encode(failed(verb, Fault(Kind.TIMEOUT, "the daemon is too busy")))

        return handle

    async def _hello(self, message: bytes, caller: Caller) -> Welcome:
        hello = decode(message, Hello)
        permit(self._process, caller, "hello", hello)
        process = self._process
        if hello.protocol != PROTOCOL:
            process.events.note(None, "warning", f"{hello.caller} speaks protocol {hello.protocol}")
        return Welcome(
            protocol=PROTOCOL,
            daemon=process.daemon_id,
            name=process.node_name,
            address=process.address,
            version=process.version,
            state=process.state,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - process.began_s, 1),
            components=len(process.lives),
            process=process.settings.process,
            security="tls" if caller.private else "insecure",
            at_ms=int(time.time() * 1000),
        )

    async def _submit(self, message: bytes, caller: Caller) -> Answer:
        request = decode(message, Request)
        permit(self._process, caller, "submit", request.op)
        return await self._process.operations.submit(request)

    async def _read(self, message: bytes, caller: Caller) -> object:
        question: Reading = decode(message, Reading)  # type: ignore[arg-type] # a union is a type to msgspec
        permit(self._process, caller, "read", question)
        return await self._process.reader.read(question)

    async def _beat(self, message: bytes, caller: Caller) -> object:
        beat = decode(message, Beat)
        permit(self._process, caller, "beat", beat)
        return await self._process.liveness.answer(beat)

    async def _stream(self, message: bytes, caller: Caller) -> object:
        wanted: Pulling = decode(message, Pulling)  # type: ignore[arg-type] # a union is a type to msgspec
        permit(self._process, caller, "stream", wanted)
        match wanted:
            case PullPiece():
                return await self._process.services.get(Pieces).answer(wanted)
            case PullLog():
                return await self._process.logbook.pull(wanted)
            case Pull():
                return await self._pull(wanted)
            case _:
                return await self._process.services.get(Channels).answer(
                    self._process, wanted, caller
                )

    async def _pull(self, wanted: Pull) -> object:
        if wanted.whole and wanted.application:
            await self._process.relays.follow_application(wanted.application)
            if wanted.settled:
                await self._process.relays.settle(wanted.application)
        return await self._process.events.pull(wanted)
