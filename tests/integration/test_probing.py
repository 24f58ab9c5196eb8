"""A probe guest tells whether guests come up on a real hypervisor; libvirt's word is not taken for it."""

from __future__ import annotations

import pytest

import sfdl
from components.domains import probing
from engine.testing.kit import engines

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]

GUEST = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {{
    hypervisorUri "{uri}";
    vm extends KvmDomain {{ diskless true; memory 64; startMode "defined"; accelerator "auto"; }}
}}
"""


async def test_the_answer_is_found_once_and_a_probe_leaves_nothing(tmp_path, host, monkeypatch):
    monkeypatch.setattr(probing, "PROBE_S", 5.0)
    root = sfdl.compile(GUEST.format(uri=host.uri)).root
    async with engines(tmp_path / "state", 1, threads=True) as (_, (engine,)):
        await engine.deploy("app", root)
        (vm,) = [live for live in engine.process.lives.values() if live.name == "vm"]
        accelerated = 'type="kvm"' in vm.prim.making.xml

        assert await probing.comes_up(vm.prim, "qemu")
        assert not host.qemu_pids()
        assert not any((engine.process.work_folder / "probes").iterdir())
        assert {type(made.effect).__name__ for made in vm.effects} == {
            "ConsoleLog",
            "DefinedDomain",
        }
        assert (vm.value("degraded") is None) == accelerated
        await engine.terminate("app")

        async def never(domain, kind):
            raise AssertionError("it is known already")

        monkeypatch.setattr(probing, "comes_up", never)
        await engine.deploy("app", root)
        (vm,) = [live for live in engine.process.lives.values() if live.name == "vm"]
        assert ('type="kvm"' in vm.prim.making.xml) == accelerated
        await engine.terminate("app")
