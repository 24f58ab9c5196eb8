"""Guests that are told by their agent, on libvirt's test driver with an agent that runs scripts here."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest

from components.hypervisor.capabilities import Capability
from components.hypervisor.errors import HypervisorError
from components.hypervisor.faulty import FaultyHypervisor
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.testing.kit import until

URI = "test:///default"
POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        vm extends KvmDomain {{
            diskless true; memory 64; domainLivenessDelay 50; hostname "web.lab.example"; network "default";
            ip "192.168.122.9"; netmask 24; startMode "booted"; readyMarker "";
            readyChecks [|"state"|]; bootTimeout 5; {more}
            context extends Context {{ mode "agent"; {told} }}
        }}
    }}
}}
"""


class Able:
    """Capabilities with an agent beside."""

    def __init__(self, inner):
        self._inner = inner

    def __contains__(self, capability):
        return capability is Capability.AGENT or capability in self._inner

    def __getattr__(self, name):
        return getattr(self._inner, name)


class Guest(FaultyHypervisor):
    """A hypervisor whose guests have an agent; what it applies to the system is only noted.

    Attributes:
        folder: Stands for what the guest keeps.
        applied: How often name and network were applied.
        silent: The agent does not answer.
    """

    def __init__(self, inner, folder):
        super().__init__(inner)
        self.folder, self.applied, self.silent = folder, 0, False
        self._done = []
        self.boot("b1")

    @property
    def caps(self):
        return Able(super().caps)

    def boot(self, name):
        (self.folder / "boot_id").write_text(f"{name}\n")

    async def agent(self, uuid, command, *, limit_s):
        if self.silent:
            raise HypervisorError("Refused", "guest agent is not connected", step="agent")
        asked = json.loads(command)
        match asked["execute"]:
            case "guest-exec":
                self._done.append(self._run(asked["arguments"]))
                answer = {"pid": len(self._done)}
            case "guest-exec-status":
                answer = self._done[asked["arguments"]["pid"] - 1]
            case _:
                answer = {}
        return json.dumps({"return": answer})

    def _run(self, asked):
        script = base64.b64decode(asked["input-data"]).decode()
        if "# Applies to this system" in script:
            assert "HOSTNAME='web.lab.example'" in script
            assert "IP='192.168.122.9'" in script
            self.applied += 1
            script = ""
        for theirs, ours in (
            ("/var/lib/smartdomains", self.folder / "state"),
            ("/proc/sys/kernel/random/boot_id", self.folder / "boot_id"),
        ):
            script = script.replace(theirs, str(ours))
        done = subprocess.run(
            [asked["path"], *asked["arg"]], input=script.encode(), capture_output=True, check=False
        )
        out, err = (base64.b64encode(said).decode() for said in (done.stdout, done.stderr))
        return {"exited": True, "exitcode": done.returncode, "out-data": out, "err-data": err}


@pytest.fixture
async def guest(bench, tmp_path):
    pool = bench.holder.process.services.get(HypervisorPool)
    folder = tmp_path / "guest"
    folder.mkdir()
    guest = Guest(await pool.get(URI), folder)
    pool._open[URI] = guest
    return guest


def text(told="", more=""):
    return POOL.format(told=told, more=more)


def counting(folder):
    """A command that is seen as often as it was run."""
    return f'runCommands [|"echo again >> {folder}/ran"|];'


def ran(guest):
    path = guest.folder / "ran"
    return path.read_text().count("again") if path.exists() else 0


async def test_a_start_waits_until_the_agent_has_applied_everything_in_order(bench, guest):
    path = guest.folder / "deep" / "note"
    files = f'files [(extends {{ path "{path}"; content "it\'s $HOME\\n"; mode "0640"; }})];'
    await bench.deploy(text(f'{files} runCommands [|"cat {path} > {guest.folder}/seen"|];'))

    assert path.read_text() == "it's $HOME\n"
    assert oct(path.stat().st_mode & 0o777) == "0o640"
    assert (guest.folder / "seen").read_text() == "it's $HOME\n"
    vm = bench.find("vm")
    assert (vm.value("contextMode"), vm.value("contextTold")) == ("agent", "told")
    assert "context" in str(vm.value("timings"))
    await bench.one.terminate("app")


async def test_a_step_that_fails_fails_the_start_with_its_name_and_the_guests_words(bench, guest):
    command = 'runCommands [|"true", "echo no such luck >&2; exit 7"|];'
    with pytest.raises(EngineError, match=r"command 2 of 2 ended with status 7: no such luck"):
        await bench.deploy(text(command))

    await until(lambda: not bench.holder.process.lives)


async def test_a_guest_is_told_once_and_after_a_boot_only_what_does_not_outlast_it(bench, guest):
    await bench.deploy(text(counting(guest.folder)))
    assert (guest.applied, ran(guest)) == (1, 1)

    for boot, applied in (("b1", 1), ("b2", 2)):  # the same boot, as a restarted daemon finds it
        await bench.holder.call("app:host:vm", "destroy")
        guest.boot(boot)
        await bench.holder.call("app:host:vm", "start")
        assert (guest.applied, ran(guest)) == (applied, 1)
    await bench.one.terminate("app")


async def test_a_guest_that_boots_anew_by_itself_is_told_again(bench, guest):
    await bench.deploy(text(counting(guest.folder)))
    guest.boot("b2")

    bench.find("vm").prim._watching.rebooted()

    await until(lambda: guest.applied == 2)
    await until(lambda: bench.find("vm").value("contextTold") == "told")
    assert ran(guest) == 1
    await bench.one.terminate("app")


async def test_another_input_is_applied_anew_to_a_guest_that_was_told_before(bench, guest):
    await bench.deploy(text(counting(guest.folder)))
    await bench.one.terminate("app")
    await bench.deploy(text(counting(guest.folder)))
    assert ran(guest) == 1
    await bench.one.terminate("app")

    await bench.deploy(text(counting(guest.folder) + 'sshKeys [|"ssh-ed25519 A me"|];'))

    assert ran(guest) == 2
    await bench.one.terminate("app")


async def test_a_step_that_failed_is_done_again_at_the_next_start(bench, guest):
    flag = guest.folder / "flag"
    command = f'runCommands [|"test -e {flag}"|];'
    with pytest.raises(EngineError, match="command 1 of 1 ended with status 1"):
        await bench.deploy(text(command))
    flag.touch()

    await bench.deploy(text(command))

    assert guest.applied == 2
    await bench.one.terminate("app")


async def test_where_nobody_waits_a_failure_is_told_and_the_machine_goes_on(bench, guest):
    await bench.deploy(text('runCommands [|"exit 3"|];', 'startMode "running";'))

    vm = bench.find("vm")
    await until(lambda: "ended with status 3" in vm.value("contextTold"))
    assert vm.value("status") == "its guest runs"
    await bench.one.terminate("app")


async def test_an_agent_that_never_answers_is_waited_for_as_long_as_a_boot_may_take(bench, guest):
    guest.silent = True
    with pytest.raises(
        EngineError, match=r"has not answered within 3 s: guest agent is not connect"
    ):
        await bench.deploy(text(more="bootTimeout 3;"))


async def test_a_command_that_takes_too_long_is_told_with_its_number(bench, guest, monkeypatch):
    answer = {"exited": False}
    monkeypatch.setattr(
        guest, "_run",
        lambda asked: answer if "wait" in base64.b64decode(asked["input-data"]).decode()
        else Guest._run(guest, asked),
    )  # fmt: skip
    with pytest.raises(EngineError, match=r"command 1 of 1: the command is not done within 1 s"):
        await bench.deploy(text('commandTimeout 1; runCommands [|"wait for ever"|];'))


WRONG = [
    ("agentChannel false;", "", "the guest is given no channel for one"),
    ("", 'userData "#cloud-config";', "cannot tell userData"),
    ("", f'files [(extends {{ path "/x"; content "{"x" * 2**20}"; }})];', "1048576 fit"),
]


@pytest.mark.parametrize(("more", "told", "words"), WRONG)
async def test_what_its_agent_cannot_do_is_refused(bench, guest, more, told, words):
    with pytest.raises(EngineError, match=words):
        await bench.deploy(text(told, more))


async def test_a_hypervisor_without_agents_is_refused(bench):
    with pytest.raises(EngineError, match="test:///default has no channel to one"):
        await bench.deploy(text())


async def test_a_xen_guest_has_no_agent(bench):
    xen = text().replace("KvmDomain", "XenDomain")
    with pytest.raises(EngineError, match=r"context mode agent .* no channel"):
        await bench.deploy(xen)
