"""Running a command in a guest, through its agent."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from components.hypervisor.protocol import Hypervisor
from engine.core.decoding import converted, from_json
from engine.core.faults import Refused, TimedOut

T = TypeVar("T")
LOOK_S = 0.2
"""Seconds between two looks at a command that runs."""
MOST_BYTES = 2**16
"""Most of what a command writes that is given back, of its end."""


class _Begun(msgspec.Struct):
    pid: int


class _Stands(msgspec.Struct, rename={"status": "exitcode", "out": "out-data", "err": "err-data"}):
    exited: bool
    status: int = -1
    signal: int = 0
    out: str = ""
    err: str = ""


def request(name: str, **arguments: object) -> str:
    """Write a request to an agent.

    Example:
        >>> request("guest-exec-status", pid=7)
        '{"execute":"guest-exec-status","arguments":{"pid":7}}'
    """
    return msgspec.json.encode({"execute": name, "arguments": arguments}).decode()


def text_of(data: str) -> str:
    """Read what a command has written, of which the end counts.

    Example:
        >>> text_of("aGVsbG8=")
        'hello'
    """
    return base64.b64decode(data)[-MOST_BYTES:].decode(errors="replace")


async def _ask(hypervisor: Hypervisor, uuid: str, what: str, limit_s: float, type_: type[T]) -> T:
    answer = await hypervisor.agent(uuid, what, limit_s=limit_s)
    return converted(from_json(answer, dict[str, object])["return"], type_)


async def run(
    hypervisor: Hypervisor, uuid: str, command: str | Sequence[str], *, limit_s: float,
    answer_s: float, input_: str = "",
) -> dict[str, int | str]:  # fmt: skip
    """Run a command in a guest, and wait for its end.

    Args:
        hypervisor: Where the guest runs.
        uuid: The guest.
        command: For `/bin/sh -c`, or a program and its arguments.
        limit_s: Seconds it may take.
        answer_s: Seconds the agent has for each answer.
        input_: What it can read.

    Returns:
        `status` (128 and more: ended by a signal), `out` and `err`.

    Raises:
        HypervisorError: No agent answers.
        Refused: It answers something else.
        TimedOut: The command is not done; it goes on in the guest.
    """
    program, *words = ("/bin/sh", "-c", command) if isinstance(command, str) else command
    begin: dict[str, object] = {"path": program, "arg": words, "capture-output": True}
    if input_:
        begin["input-data"] = base64.b64encode(input_.encode()).decode()
    loop = asyncio.get_running_loop()
    until_s = loop.time() + limit_s
    try:
        begun = await _ask(hypervisor, uuid, request("guest-exec", **begin), answer_s, _Begun)
        while loop.time() < until_s:
            what = request("guest-exec-status", pid=begun.pid)
            stands = await _ask(hypervisor, uuid, what, answer_s, _Stands)
            if stands.exited:
                status = 128 + stands.signal if stands.signal else stands.status
                return {"status": status, "out": text_of(stands.out), "err": text_of(stands.err)}
            await asyncio.sleep(LOOK_S)
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise Refused(
            f"its agent's answer is not understood: {error}", code="SF-DOM-018"
        ) from error
    raise TimedOut(
        f"the command is not done within {limit_s:g} s; it goes on in the guest as process "
        f"{begun.pid}",
        code="SF-DOM-018",
    )
