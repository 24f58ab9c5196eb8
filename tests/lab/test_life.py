"""A lab comes and goes: it leaves nothing, whoever ends it and however much of it is left."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess

import msgspec
import pytest

from components.testbed.guest_image import GuestImage, default_cache
from components.testbed.lab import Lab, LabError, LabExistsError, NoSuchLabError, Slow
from tests.conftest import need_lab
from tests.lab.looking import ROOT, left, script, spaces, until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("lab_machine"),
]


@pytest.fixture
def name():
    name = f"t-{secrets.token_hex(4)}"
    yield name
    Lab(name=name).down()


def test_a_lab_that_went_down_has_left_nothing():
    with Lab(2) as lab:
        gone = spaces(lab)
        assert len(gone) == 1 + 15  # the time; five kinds, for the fabric and two hosts
        assert left(lab.folder, gone)
        lab.slow("h1", Slow(delay_ms=1))
        lab.cut("h1", "h2")

    assert left(lab.folder, gone) == []


async def test_it_is_an_asynchronous_context_too():
    async with Lab(1) as lab:
        assert [facts.power for facts in lab.status()] == ["on"]
        gone = spaces(lab)

    assert left(lab.folder, gone) == []


def test_a_failure_inside_takes_it_down():
    lab = Lab(1)
    gone = []

    def fail():
        with lab:
            gone.extend(spaces(lab))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert left(lab.folder, gone) == []


def test_a_host_that_does_not_come_up_takes_what_was_made_with_it(monkeypatch):
    monkeypatch.setattr(
        "components.testbed.lab.plans.daemon_options", lambda folder, name: ["--port", "nonsense"]
    )
    lab = Lab(2)

    with pytest.raises(LabError, match="nonsense"):
        lab.up()

    assert left(lab.folder) == []


@pytest.mark.parametrize("running", [0, 1, 2, 3, 4])
def test_what_its_killed_maker_left_is_cleared_away_by_another(name, running):
    folder = Lab(name=name).folder
    maker = subprocess.Popen(
        [ROOT / "scripts" / "lab", "--name", name, "3"], stdout=subprocess.DEVNULL
    )

    def far_enough():
        try:
            text = (folder / "lab.json").read_bytes()
        except FileNotFoundError:
            return False
        return len(msgspec.json.decode(text)["running"]) >= running

    until(far_enough)
    maker.kill()
    maker.wait(20)

    done = script("--name", name, "down")

    assert done.returncode == 0, done.stderr
    # What was started and not yet written down ends by itself.
    until(lambda: left(folder) == [])


def test_after_a_killed_maker_up_begins_anew(name):
    folder = Lab(name=name).folder
    maker = subprocess.Popen(
        [ROOT / "scripts" / "lab", "--name", name, "3"], stdout=subprocess.DEVNULL
    )
    until((folder / "h2").exists)
    maker.kill()
    maker.wait(20)

    done = script("--name", name, "2")

    assert done.returncode == 0, done.stderr
    assert [facts.daemon for facts in Lab.open(name).status()] == ["up", "up"]


def test_down_works_when_half_of_it_is_gone(name):
    lab = Lab(3, name=name)
    lab.up()
    gone = spaces(lab)
    state = lab.state
    for each in ("h2", "fabric"):
        os.kill(state.running[each].outer.pid, signal.SIGKILL)
    until(lambda: lab["h2"].init is None and lab.fabric.init is None)
    (lab["h1"].folder / "plan.json").unlink()

    with pytest.raises(LabError, match="half gone"):
        lab.cut("h1", "h3")
    assert script("--name", name, "down").returncode == 0

    assert left(lab.folder, gone) == []


def test_two_labs_side_by_side_do_not_meet():
    with Lab(2) as one, Lab(2) as two:
        one["h1"].crash()
        one.isolate("h2")

        assert [facts.power for facts in two.status()] == ["on", "on"]
        assert two["h1"].run("ping", "-c", "1", "-W", "2", "h2").code == 0
        gone = spaces(one)
        one.down()
        assert left(one.folder, gone) == []
        assert two.sf("sfping", "h1").code == 0


def test_a_second_lab_of_the_same_name_is_refused(name):
    with Lab(1, name=name), pytest.raises(LabExistsError, match="up already"):
        Lab(1, name=name).up()


def test_logs_are_kept_when_asked_for_and_go_with_the_next_down(name):
    lab = Lab(1, name=name)
    lab.up()
    gone = spaces(lab)

    lab.down(keep_logs=True)

    assert {path.name for path in lab.folder.rglob("*") if path.is_file()} == {
        "host.log",
        "daemon.log",
    }
    lab.down()
    assert left(lab.folder, gone) == []


def test_it_says_what_cannot_be():
    with pytest.raises(ValueError, match="1 to 32"):
        Lab(0)
    with pytest.raises(ValueError, match="no name"):
        Lab(name="../etc")
    with pytest.raises(NoSuchLabError, match="scripts/lab 3"):
        Lab.open("t-nobody")


@pytest.mark.qemu
@pytest.mark.timeout(400)
def test_guests_over_two_hosts_start_as_one_and_a_power_cut_takes_those_of_its_host():
    need_lab(libvirt=True)
    image = GuestImage.build(default_cache())
    values = {
        "uri": "qemu:///system", "guestKernel": image.kernel, "guestRamdisk": image.initrd,
        "guestDisk": image.disk, "computer1:sfProcessHost": "h1", "computer2:sfProcessHost": "h2",
    }  # fmt: skip
    options = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    with Lab(2, libvirt=True) as lab:
        gone = spaces(lab)
        pool = str(ROOT / "descriptions" / "examples" / "qemuPool.sf")
        done = lab.sf("sfstart", "h1", "pool", pool, *options, limit_s=200)
        assert done.code == 0, done.err
        assert [facts.guests for facts in lab.status()] == [1, 1]

        lab["h2"].crash()
        assert [facts.guests for facts in lab.status()] == [1, 0]

        lab.reset()
        assert [facts.guests for facts in lab.status()] == [0, 0]

    assert left(lab.folder, gone) == []


@pytest.mark.qemu
@pytest.mark.timeout(300)
def test_with_libvirt_each_host_has_a_hypervisor_that_the_others_reach():
    need_lab(libvirt=True)
    with Lab(2, libvirt=True) as lab:
        gone = spaces(lab)
        assert [facts.libvirtd for facts in lab.status()] == ["up", "up"]
        there = lab["h1"].run("virsh", "-c", "qemu+tcp://h2/system", "hostname")
        assert there.out.strip() == "h2", there.err
        here = lab["h1"].run("virsh", "-c", "qemu:///system", "hostname")
        assert here.out.strip() == "h1", here.err

        first = lab["h2"].pid("libvirtd")
        lab["h2"].kill("libvirtd")
        until(lambda: lab["h2"].pid("libvirtd") not in {None, first})
        until(lambda: lab["h2"].run("virsh", "list").code == 0)

    assert left(lab.folder, gone) == []
