"""The console of a machine as a channel: what cannot be had is refused, what was shown can be read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from components.hypervisor.faulty import FaultyHypervisor
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError

URI = "test:///default"
GUEST = """
#include "components/vm.sf"
sfConfig extends Compound {
    vm extends KvmDomain { hypervisorUri "test:///default"; diskless true; memory 64; MORE }
}
"""


async def opened(bench, more="", name="console"):
    await bench.deploy(GUEST.replace("MORE", more))
    try:
        return await bench.find("vm").prim.open_channel(name)
    except EngineError as error:
        return error.fault
    finally:
        await bench.one.terminate("app")


async def test_the_test_driver_has_no_consoles(bench):
    fault = await opened(bench)

    assert fault.message == f"there is no console at {URI}"
    assert "--log" in fault.hint


async def test_a_guest_that_does_not_run_has_no_console(bench):
    fault = await opened(bench, 'startMode "defined";')

    assert fault.message == "the guest is not running"


async def test_a_machine_offers_nothing_else(bench):
    assert "has no screen" in (await opened(bench, name="screen")).message


async def test_what_the_console_has_shown_can_be_read_and_not_written_to(bench):
    await bench.deploy(GUEST.replace("MORE", ""))
    vm = bench.find("vm")
    Path(vm.value("consolePath")).write_bytes(b"booting\n" * 20_000)

    log = await vm.prim.open_channel("console log")

    got = b""
    while data := await log.read():
        got += data
    assert got == b"booting\n" * 20_000
    with pytest.raises(EngineError, match="cannot be written"):
        await log.write(b"x")
    await log.close()
    await bench.one.terminate("app")


class FakeConsole:
    """A guest that says what was typed."""

    def __init__(self):
        self.came = asyncio.Queue()
        self.closed = False

    async def read(self):
        return await self.came.get()

    async def write(self, data):
        self.came.put_nowait(data)

    async def close(self):
        self.closed = True


async def test_what_is_typed_goes_to_the_guest_and_what_it_shows_comes_back(bench):
    pool = bench.holder.process.services.get(HypervisorPool)
    faulty = FaultyHypervisor(await pool.get(URI))
    made = FakeConsole()

    async def console(uuid):
        assert uuid == bench.find("vm").value("uuid")
        return made

    faulty.console = console
    pool._open[URI] = faulty
    await bench.deploy(GUEST.replace("MORE", ""))

    channel = await bench.find("vm").prim.open_channel("console")
    await channel.write(b"ls\r")
    assert await channel.read() == b"ls\r"
    await channel.close()
    assert made.closed
    await bench.one.terminate("app")
