"""`SystemdUnit` against a stand-in of systemd's manager object, on a private bus of the test."""

from __future__ import annotations

import asyncio
import shutil
import subprocess

import pytest

import sfdl
from engine.core.faults import EngineError
from engine.testing.kit import begin, engines, until

dbus_fast = pytest.importorskip("dbus_fast")
from dbus_fast import BusType, Message, MessageType, Variant  # noqa: E402
from dbus_fast.aio import MessageBus  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("message_bus_here")]
ROOT = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
PROPERTIES = "org.freedesktop.DBus.Properties"
HEAD = '#include "components/services.sf"\n'


class Systemd:
    """Speaks like the real one as far as `org.freedesktop.systemd1(5)` says: jobs and properties."""

    def __init__(self, bus):
        self.bus = bus
        self.units = {"web.service": "inactive", "busy.service": "active"}
        self.masked = {"dead.service"}
        self.units["dead.service"] = "inactive"
        self.breaks = set()
        self.asked = []
        self._job = 0
        bus.add_message_handler(self._answer)

    def path(self, unit):
        return f"{ROOT}/unit/{unit.replace('.', '_2e')}"

    def _unit_at(self, path):
        return path.rpartition("/")[2].replace("_2e", ".")

    def _answer(self, message):
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        match message.interface, message.member:
            case "org.freedesktop.systemd1.Manager", "Subscribe":
                return Message.new_method_return(message)
            case "org.freedesktop.systemd1.Manager", "LoadUnit":
                return Message.new_method_return(message, "o", [self.path(message.body[0])])
            case "org.freedesktop.systemd1.Manager", "StartUnit" | "StopUnit":
                return self._start_or_stop(message)
            case "org.freedesktop.DBus.Properties", "Get":
                value = self._property(self._unit_at(message.path), message.body[1])
                return Message.new_method_return(message, "v", [Variant("s", value)])
        return None

    def _property(self, unit, name):
        if name == "ActiveState":
            return self.units.get(unit, "inactive")
        if unit in self.masked:
            return "masked"
        return "loaded" if unit in self.units else "not-found"

    def _start_or_stop(self, message):
        unit, up = message.body[0], message.member == "StartUnit"
        self.asked.append((message.member, unit))
        self._job += 1
        job = f"{ROOT}/job/{self._job}"
        loop = asyncio.get_running_loop()
        self.become(unit, "activating" if up else "deactivating")
        loop.call_later(0.05, self._finish, job, unit, up)
        return Message.new_method_return(message, "o", [job])

    def _finish(self, job, unit, up):
        failed = up and unit in self.breaks
        self.become(unit, "failed" if failed else ("active" if up else "inactive"))
        body = [self._job, job, unit, "failed" if failed else "done"]
        self._signal(ROOT, MANAGER, "JobRemoved", "uoss", body)

    def become(self, unit, state):
        self.units[unit] = state
        body = [UNIT, {"ActiveState": Variant("s", state)}, []]
        self._signal(self.path(unit), PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    def _signal(self, path, interface, member, signature, body):
        self.bus.send(Message.new_signal(path, interface, member, signature, body))


@pytest.fixture
async def systemd(tmp_path):
    command = [shutil.which("dbus-daemon"), "--session", "--nofork", "--nopidfile",
               f"--address=unix:path={tmp_path}/bus", "--print-address"]  # fmt: skip
    daemon = subprocess.Popen(  # noqa: ASYNC220 - it starts in milliseconds
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    address = daemon.stdout.readline().strip()
    bus = await MessageBus(bus_address=address, bus_type=BusType.SESSION).connect()
    await bus.request_name("org.freedesktop.systemd1")
    made = Systemd(bus)
    made.address, made.daemon = address, daemon
    yield made
    bus.disconnect()
    daemon.terminate()
    daemon.wait()
    daemon.stdout.close()


def app(systemd, text):
    bus = f'bus "{systemd.address}";'
    unit = f"unit extends SystemdUnit {{ {bus} {text} }}"
    return sfdl.compile(f"{HEAD}sfConfig extends Compound {{ {unit} }}").root


def find(engine, path):
    return next((live for live in engine.process.lives.values() if live.path == path), None)


async def test_a_unit_is_started_and_at_the_end_stopped_again(tmp_path, systemd):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", app(systemd, 'unit "web.service";'))
        await until(lambda: find(engine, "app").ready)
        assert systemd.units["web.service"] == "active"
        assert find(engine, "app:unit").value("activeState") == "active"

        await engine.terminate("app")

        assert systemd.units["web.service"] == "inactive"


async def test_one_that_runs_already_is_watched_and_left(tmp_path, systemd):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", app(systemd, 'unit "busy.service";'))
        await until(lambda: find(engine, "app").ready)
        await engine.terminate("app")

    assert systemd.asked == []
    assert systemd.units["busy.service"] == "active"


async def test_one_is_kept_from_running_and_runs_again_afterwards(tmp_path, systemd):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", app(systemd, 'unit "busy.service"; ensure "stopped";'))
        await until(lambda: find(engine, "app").ready)
        assert systemd.units["busy.service"] == "inactive"
        await engine.terminate("app")
    assert systemd.units["busy.service"] == "active"


async def test_a_unit_that_fails_ends_its_component(tmp_path, systemd):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", app(systemd, 'unit "web.service";'))
        await until(lambda: find(engine, "app").ready)

        systemd.become("web.service", "failed")

        record = await until(lambda: engine.process.ended_application("app"))
        assert (record.type, record.description) == ("abnormal", "web.service is failed")


async def test_one_that_is_reloaded_or_started_again_ends_nothing(tmp_path, systemd):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", app(systemd, 'unit "web.service";'))
        for state in ("reloading", "active", "deactivating", "activating", "active"):
            systemd.become("web.service", state)
            live = find(engine, "app:unit")
            await until(lambda s=state, at=live: at.value("activeState") == s)
        assert find(engine, "app").ready
        await engine.terminate("app")


async def test_a_unit_that_cannot_be_started_fails_the_start(tmp_path, systemd):
    systemd.breaks.add("web.service")
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        with pytest.raises(EngineError, match=r"StartUnit of web\.service: failed"):
            await engine.deploy("app", app(systemd, 'unit "web.service";'))
        assert not engine.process.lives


async def test_a_unit_is_taken_up_again_after_a_crash(tmp_path, systemd):
    async with engines(tmp_path / "state", threads=True) as (network, (engine,)):
        await engine.deploy("app", app(systemd, 'unit "web.service";'))
        network.kill(engine.process)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if "background" in task.get_name():
                task.cancel()
        again = await begin(
            network, tmp_path / "state" / "host1", "host1", "host1:3800", {"host1": "host1:3800"}
        )
        try:
            await until(lambda: find(again, "app:unit").value("activeState") == "active")
            assert systemd.asked == [("StartUnit", "web.service")]
            await again.terminate("app")
            assert systemd.units["web.service"] == "inactive"
        finally:
            network.verbs.pop(again.process.address, None)
            await again.process.stop()


async def test_a_bus_that_breaks_ends_its_component(tmp_path, systemd):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", app(systemd, 'unit "busy.service";'))
        await until(lambda: find(engine, "app").ready)
        systemd.daemon.terminate()

        record = await until(lambda: engine.process.ended_application("app"))

        assert "does not answer any more" in record.description


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "unit"),
        ('unit "web";', "unit: must be a unit such as"),
        ('unit "../web.service";', "unit: must be a unit such as"),
        ('unit "web.service"; ensure "restarted";', "ensure: must be one of started, stopped"),
        ('unit "none.service";', "there is no unit none.service"),
        ('unit "dead.service";', "dead.service is masked"),
        ('unit "web.service"; bus "unix:path=/nowhere";', "systemd does not answer at unix:path"),
        ('unit "web.service"; bus "nonsense";', "systemd does not answer at nonsense"),
    ],
)
async def test_a_wrong_one_is_refused_before_anything_starts(tmp_path, systemd, text, said):
    bus = "" if "bus" in text else f'bus "{systemd.address}";'
    description = f"unit extends SystemdUnit {{ {bus} {text} }}"
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        text = f"{HEAD}sfConfig extends Compound {{ {description} }}"
        with pytest.raises((EngineError, sfdl.CompileError), match=said):
            await engine.deploy("app", sfdl.compile(text).root)
        assert not engine.process.lives
    assert systemd.asked == []
