"""How much processor time a sub-process gets: by control groups where there are any, else refused."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from engine.core.faults import BadDescription, EngineError, Refused
from engine.core.records import Record
from engine.limits import Groups, processors
from engine.testing.daemons import daemons
from engine.testing.kit import tree
from sfdl.values import Description

GROUP = "engine.compound.Compound"


def possible():
    try:
        Groups().check()
    except Refused:
        return False
    return True


def with_share(share):
    config = Description((("cpuMax", share),), data=True)
    part = {"sfClass": GROUP, "sfProcessName": "apart", "sfProcessConfig": config}
    return tree({"sfClass": GROUP, "a": part})


@pytest.fixture
def mounted(tmp_path):
    """A tree of files as the kernel shows one, with this process in the group `unit`."""
    mount = tmp_path / "cgroup"
    unit = mount / "unit"
    unit.mkdir(parents=True)
    for folder in (mount, unit):
        (folder / "cgroup.controllers").write_text("cpu io memory\n")
        (folder / "cgroup.subtree_control").write_text("")
        (folder / "cgroup.procs").write_text("")
    (unit / "cgroup.procs").write_text(f"{os.getpid()}\n")
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/x\n0::/unit\n")
    return mount, own


@pytest.mark.parametrize("text", ["", "none", "0", "-1", "nan", "1e9", "50 %%", "%"])
def test_what_is_no_number_of_processors_is_refused(text):
    with pytest.raises(BadDescription, match="cpuMax"):
        processors(text)


def test_a_group_beside_our_own_has_the_share(mounted):
    mount, own = mounted
    groups = Groups(mount, own)
    group = groups.make("apart", 1.5)
    groups.enter(group, 4711)
    assert group == mount / "unit" / "sf-apart"
    assert (group / "cpu.max").read_text() == "150000 100000\n"
    assert (group / "cgroup.procs").read_text() == "4711\n"
    assert (mount / "unit" / "cgroup.subtree_control").read_text() == "+cpu\n"
    assert (mount / "unit" / "sfdaemon" / "cgroup.procs").read_text() == f"{os.getpid()}\n"


def test_a_daemon_that_has_moved_already_shares_out_in_the_same_place(mounted):
    mount, own = mounted
    (mount / "unit" / "cgroup.subtree_control").write_text("cpu\n")
    own.write_text("0::/unit/sfdaemon\n")
    assert Groups(mount, own).make("b", 0.25) == mount / "unit" / "sf-b"
    assert not (mount / "unit" / "sfdaemon").exists()


def test_where_it_cannot_be_had_that_is_said(mounted, tmp_path):
    mount, own = mounted
    with pytest.raises(Refused, match="not in use"):
        Groups(tmp_path / "nowhere", own).check()
    own.write_text("3:cpu:/\n")
    with pytest.raises(Refused, match="not in use"):
        Groups(mount, own).check()
    own.write_text("0::/unit\n")
    (mount / "unit" / "cgroup.controllers").write_text("memory\n")
    with pytest.raises(Refused, match="no cpu controller"):
        Groups(mount, own).check()


@pytest.mark.integration
@pytest.mark.skipif(possible(), reason="here it can be had")
def test_without_control_groups_it_is_refused_when_planned_and_nothing_is_started(tmp_path):
    with daemons(tmp_path, "one") as (one,), closing(one.client()) as client:
        (problem,) = client.plan("app", with_share(0.5)).problems
        assert "cpuMax cannot be had" in problem.message
        assert "Delegate=yes" in problem.hint
        with pytest.raises(Refused, match="cpuMax cannot be had"):
            client.start("app", with_share(0.5)).result()
        (problem,) = client.plan("app", with_share("much")).problems
        assert problem.kind.value == "BadDescription"
        with pytest.raises(EngineError):
            client.start("app", with_share("much")).result()
        assert list(client.whole_tree()) == []


@pytest.mark.integration
@pytest.mark.skipif(not possible(), reason="no control groups version 2 that we may write")
def test_a_sub_process_is_in_a_group_with_its_share(tmp_path):
    with daemons(tmp_path, "one") as (one,), closing(one.client()) as client:
        client.start("app", with_share("50%")).result()
        place = Groups(own=type(tmp_path)(f"/proc/{one.pid}/cgroup"))._base()
        assert place is not None
        group = place / "sf-apart"
        assert (group / "cpu.max").read_text().split() == ["50000", "100000"]
        assert (group / "cgroup.procs").read_text().split()
        client.terminate("app", Record.normal()).result()
