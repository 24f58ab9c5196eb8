"""A console log of one's own: made and removed with its machine, and never a file of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

import components.domains.rotation
from components.domains.chosen_log import ChosenLog
from engine.core.faults import EngineError
from engine.runtime.effects import Owner, Presence
from engine.testing.kit import until

ONE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        vm extends {kind} {{ diskless true; memory 64; consoleLog "{log}"; {more} }}
    }}
}}
"""
OWNER = Owner("c", "app", "app:vm", 3)


def text(log, more="", kind="KvmDomain"):
    return ONE.format(log=log, more=more, kind=kind)


async def test_it_is_written_where_it_is_to_be_and_goes_with_its_machine(bench, tmp_path):
    log = tmp_path / "logs" / "vm.log"
    log.parent.mkdir()

    await bench.deploy(text(log))

    vm = bench.find("vm")
    assert vm.value("consolePath") == str(log)
    assert f'<log file="{log}" append="on"' in vm.prim.making.xml
    assert log.read_bytes() == b""
    log.write_text("words")
    Path(f"{log}.1").write_text("earlier words")
    await bench.one.terminate("app")
    assert list(log.parent.iterdir()) == []


async def test_it_is_cut_as_any_other(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(components.domains.rotation, "PERIOD_S", 0.05)
    monkeypatch.setattr(components.domains.rotation.rotate, "__defaults__", (8,))
    log = tmp_path / "vm.log"
    await bench.deploy(text(log))

    log.write_text("a lot of words")

    await until(lambda: Path(f"{log}.1").exists())
    await until(lambda: log.read_bytes() == b"")
    assert Path(f"{log}.1").read_text() == "a lot of words"


async def test_a_name_alone_is_below_the_daemons_folder(bench):
    await bench.deploy(text("vm.log"))

    assert bench.find("vm").value("consolePath") == str(bench.work / "vm.log")


@pytest.mark.parametrize("there", ["vm.log", "vm.log.2"])
async def test_a_file_of_somebody_else_is_refused_and_not_touched(bench, tmp_path, there):
    (tmp_path / there).write_text("theirs")

    with pytest.raises(EngineError, match="is there already and is not ours"):
        await bench.deploy(text(tmp_path / "vm.log"))

    assert (tmp_path / there).read_text() == "theirs"
    assert not bench.one.process.apps


@pytest.mark.parametrize(
    ("log", "kind", "words"),
    [
        ("/proc/none/vm.log", "KvmDomain", "/proc/none is no folder that the daemon may write to"),
        ("/etc/hostname/vm.log", "KvmDomain", "is no folder that the daemon may write to"),
        ("/tmp/vm.log", "XenDomain", "Xen keeps what consoles show itself"),
    ],
)  # fmt: skip
async def test_where_it_cannot_be_written_is_refused_before_anything_is_made(
    bench, log, kind, words
):
    with pytest.raises(EngineError) as failure:
        await bench.deploy(text(log, kind=kind))

    assert words in " ".join(str(each) for each in failure.value.fault.chain())


async def test_two_machines_have_not_the_same(bench, tmp_path):
    log = tmp_path / "vm.log"
    two = text(log).replace("vm extends", f'other extends KvmDomain {{ diskless true; memory 64; '
                            f'consoleLog "{log}"; }} vm extends')  # fmt: skip

    with pytest.raises(EngineError, match=r"consoleLog .*vm\.log is held by") as _:
        await bench.deploy(two)

    assert not log.exists()


async def test_it_stays_with_a_guest_that_goes_on_and_is_taken_up_again(bench, tmp_path):
    log = tmp_path / "vm.log"
    await bench.deploy(text(log, 'stopMode "leave";'))
    log.write_text("words")
    await bench.one.terminate("app")
    assert log.read_text() == "words"

    await bench.deploy(text(log))
    assert log.read_text() == "words"
    await bench.one.terminate("app")

    assert not list(tmp_path.glob("vm.log*"))


def test_whose_it_is_stands_beside_it(tmp_path):
    log = ChosenLog(str(tmp_path / "vm.log"))
    assert log.whose(OWNER) is Presence.ABSENT
    log._begin(OWNER)

    assert log.whose(replace(OWNER, incarnation=4)) is Presence.OURS
    assert log.whose(replace(OWNER, path="app:other")) is Presence.FOREIGN
    log._remove(replace(OWNER, incarnation=4))
    assert log.whose(OWNER) is Presence.OURS
    log.note.write_bytes(b"{")
    assert log.whose(OWNER) is Presence.FOREIGN
    log._remove(OWNER)
    assert Path(log.path).exists()
