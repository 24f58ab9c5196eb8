"""Machines with contexts on libvirt's test driver: what is made, checked, refused, and gone at the end."""

from __future__ import annotations

import subprocess

import pytest

from components.hypervisor.pool import HypervisorPool
from components.testbed.ssh_key import new_ssh_key
from engine.core.faults import EngineError
from engine.testing.kit import until
from engine.testing.sabotage import Plan, Saboteur
from engine.wire.messages import ReadAttributes, ReadDump
from sfdl.errors import SmartDomainsError

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        {beside}
        vm extends KvmDomain {{
            diskless true; memory 64; network "default"; ip "192.168.122.6"; netmask 24; hostname "web";
            {more}
        }}
    }}
}}
"""
ISO = 'context extends Context { mode "nocloud"; }'
LOOP = """loop extends {kind} {{
    baseImage "{image}"; volumeSize "8m"; swapSize 0; spaceReserve 0; }}"""


def text(more="", beside=""):
    return POOL.format(more=more, beside=beside)


async def xml(bench):
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get("test:///default")
    return await hypervisor.xml(bench.find("vm").value("uuid"))


def disks(bench):
    folder = bench.work / "context"
    return sorted(folder.iterdir()) if folder.exists() else []


async def test_a_context_disk_is_there_while_the_machine_is_and_only_for_its_owner(bench):
    await bench.deploy(text(ISO))

    (disk,) = disks(bench)
    assert oct(disk.stat().st_mode & 0o777) == "0o600"
    assert bench.find("vm").value("contextMode") == "nocloud"
    assert str(disk) in await xml(bench)
    await bench.one.terminate("app")
    assert disks(bench) == []


async def test_a_changed_input_is_another_instance_at_the_next_start(bench):
    await bench.deploy(text(ISO))
    first = disks(bench)[0].read_bytes()
    await bench.one.terminate("app")
    await bench.deploy(text(ISO).replace('"web"', '"www"'))

    assert disks(bench)[0].read_bytes() != first
    await bench.one.terminate("app")


@pytest.mark.parametrize("when", ["making", "made"])
@pytest.mark.parametrize("effect", ["context disk", "DefinedDomain", "RunningDomain"])
async def test_a_failure_at_any_step_leaves_no_context_disk(bench, when, effect):
    bench.holder.process.keeper.saboteur = Saboteur([Plan(effect, when, "raise")])

    with pytest.raises(EngineError, match="sabotage"):
        await bench.deploy(text(ISO))

    await until(lambda: disks(bench) == [])


async def test_what_a_guest_is_told_is_not_in_the_ledger(bench, tmp_path):
    secret = "sesame-opens"
    people = f'users [(extends {{ name "ann"; passwordHash "{secret}"; }})];'
    await bench.deploy(text(f'context extends Context {{ mode "nocloud"; [secret] {people} }}'))

    assert secret.encode() in disks(bench)[0].read_bytes()
    found = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".iso"]
    assert found
    assert [path.name for path in found if secret.encode() in path.read_bytes()] == []
    await bench.one.terminate("app")


PRIVATE = "sesame-opens"
PEOPLE = f'users [(extends {{ name "ann"; passwordHash "{PRIVATE}"; }})];'
COMMANDS = f'runCommands [|"echo {PRIVATE}"|];'


async def shown_of(bench, name):
    """Return what people are shown of a component: its attributes, and a dump."""
    ident, reader = bench.find(name).handle.ident, bench.holder.process.reader
    rows = await reader.read(ReadAttributes(ident=ident))
    return f"{rows} {await reader.read(ReadDump(ident=ident, resolved=True))}"


@pytest.mark.parametrize(
    ("more", "hidden"),
    [
        (PEOPLE, True),
        (f'files [(extends {{ path "/root/key"; content "{PRIVATE}"; }})];', True),
        (f'userData "#cloud-config\\npassword: {PRIVATE}";', True),
        (COMMANDS, False),
        (f'{COMMANDS} secret [|"runCommands"|];', True),
        (f"{PEOPLE} secret [||];", False),
    ],
)
async def test_what_may_hold_passwords_and_keys_is_shown_to_nobody_nor_is_what_is_named_secret(
    bench, tmp_path, more, hidden
):
    await bench.deploy(text(f'context extends Context {{ mode "nocloud"; {more} }}'))

    assert (PRIVATE not in await shown_of(bench, "context")) == hidden
    assert PRIVATE.encode() in disks(bench)[0].read_bytes()
    if hidden:
        found = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".iso"]
        assert [path.name for path in found if PRIVATE.encode() in path.read_bytes()] == []
    await bench.one.terminate("app")


async def test_an_address_is_known_to_others_before_the_machine_runs(bench):
    beside = "early extends Compound { neighbour LAZY PARENT:vm:address; }"
    await bench.deploy(text('startMode "defined";', beside))

    assert bench.find("vm").value("address") == "192.168.122.6"
    await bench.one.terminate("app")


async def test_a_machine_deployed_but_not_started_has_its_address(bench):
    beside = (
        "early extends KvmDomain { diskless true; memory 64; hostname LAZY PARENT:vm:address; }"
    )
    await bench.deploy(text("", beside))

    early = bench.find("early")
    assert early.bound["hostname"] == "192.168.122.6"
    await bench.one.terminate("app")


async def test_words_for_the_kernel_are_added_to_its_own(bench, tmp_path):
    kernel = tmp_path / "vmlinuz"
    kernel.touch()
    more = f'kernel "{kernel}"; extra "quiet"; gateway "192.168.122.1"; '
    await bench.deploy(text(more + 'context extends Context { mode "kernel"; }'))

    assert "quiet ip=192.168.122.6::192.168.122.1:255.255.255.0:web:eth0:off" in await xml(bench)
    await bench.one.terminate("app")


async def test_a_mac_prefix_outside_the_local_range_is_taken_with_a_warning(bench):
    await bench.deploy(text('context extends Context { mode "mac"; macPrefix "54:56"; }'))

    assert bench.find("vm").value("macAddress") == "54:56:c0:a8:7a:06"
    await bench.one.terminate("app")


@pytest.mark.parametrize(
    ("more", "words"), [("", "auto is mac here, which"), ("ip NULL;", "auto is none here, which")]
)
async def test_what_auto_loses_is_told(bench, caplog, more, words):
    await bench.deploy(text(f'context extends Context {{ sshKeys [|"k"|]; mtu 1400; }} {more}'))

    (said,) = [record.message for record in caplog.records if "cannot tell" in record.message]
    assert f"{words} cannot tell mtu, sshKeys" in said
    await bench.one.terminate("app")


async def test_a_host_key_reaches_the_guest_and_is_nowhere_else(bench, tmp_path):
    key = new_ssh_key()
    spelt = key.replace("\n", "\\n")
    await bench.deploy(
        text(f'context extends Context {{ mode "nocloud"; hostKeys "fixed"; hostKey "{spelt}"; }}')
    )

    middle = key.splitlines()[2]
    assert middle not in await shown_of(bench, "context")
    assert middle.encode() in disks(bench)[0].read_bytes()
    found = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".iso"]
    assert [path.name for path in found if middle.encode() in path.read_bytes()] == []
    await bench.one.terminate("app")


@pytest.fixture
def system(tmp_path):
    folder = tmp_path / "system"
    (folder / "etc/network").mkdir(parents=True)
    (folder / "etc/hostname").write_text("old\n")
    (folder / "etc/network/interfaces").write_text("auto lo\niface lo inet loopback\n")
    return folder


def inside(volume, path):
    done = subprocess.run(["debugfs", "-R", f"cat {path}", volume], capture_output=True, check=True)
    return done.stdout.decode()


async def test_files_are_written_into_a_system_that_is_not_mounted(bench, system):
    beside = LOOP.format(kind="LoopbackStorageBackend", image=system)
    more = """diskless false; storageBackend LAZY ATTRIB loop;
        context extends Context { sshKeys [|"ssh-ed25519 A me"|]; files [(extends {
            path "/opt/deep/note"; content "hello"; mode "0640"; })]; }"""
    await bench.deploy(text(more, beside))

    (volume,) = [path for path in (bench.work / "volumes").iterdir() if not path.suffix]
    assert bench.find("vm").value("contextMode") == "inject"
    assert inside(volume, "/etc/hostname") == "web\n"
    assert "192.168.122.6 web" in inside(volume, "/etc/hosts")
    assert "address 192.168.122.6" in inside(volume, "/etc/network/interfaces")
    assert "ssh-ed25519 A me" in inside(volume, "/root/.ssh/authorized_keys")
    assert inside(volume, "/opt/deep/note") == "hello"
    done = subprocess.run(["e2fsck", "-fn", volume], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    await bench.one.terminate("app")


WRONG = [
    ('context extends Context { mode "cloud"; }', 'did you mean "nocloud"'),
    ('context extends Context { mode "kernel"; }', "there is no kernel"),
    ('context extends Context { mode "mac"; } ip NULL;', "there is no ip"),
    ('context extends Context { mode "mac"; } mac "52:54:00:00:00:01";', "leave mac out|stands for ip"),
    ('context extends Context { mode "mac"; sshKeys [|"k"|]; }', "cannot tell sshKeys"),
    ('context extends Context { mode "inject"; }', "there is none"),
    ('context extends Context { macPrefix "53:54"; }', "even octet"),
    ('context extends Context { macPrefix "52"; }', "two octets"),
    ('context extends Context { nameservers [|"10.0.0"|]; }', "no IPv4 address"),
    ('context extends Context { searchDomains [|"a b"|]; }', "no host name"),
    ('context extends Context { mtu 70000; }', "at most 65535"),
    ('context extends Context { interface "eth 0"; }', "network interface"),
    ('context extends Context { mode "nocloud"; sshKeys [|"a\\nb"|]; }', "sshKeys: must be one line"),
    ('context extends Context { files [(extends { path "../x"; })]; }', "absolute path"),
    ('context extends Context { files [(extends { path "/x"; mode "9"; })]; }', "octal digits"),
    ('context extends Context { files [(extends { paht "/x"; })]; }', "a file has no paht"),
    ('context extends Context { users [(extends { name "A B"; })]; }', "small letters"),
    ('context extends Context { mounts [|[|"/dev/vdb"|]|]; }', "2 to 6 fields"),
    ('context extends Context { mode "nocloud"; userData "@/nowhere"; }', "cannot be read from /nowhere"),
    ('context extends Context { mode "nocloud"; userData "#cloud-config\\n- a"; }', "no mapping"),
    ('context extends Context { mode "nocloud"; instanceId "a b"; }', "letters, digits, dots and dashes"),
    ('context extends Context { mode "nocloud"; instanceId "../x"; }', "letters, digits, dots and dashes"),
    ('context extends Context { mode "mac"; instanceId "a"; }', "cannot tell instanceId"),
    ('context extends Context { mode "nocloud"; hostKeys "fixed"; }', "needs hostKey"),
    ('context extends Context { mode "nocloud"; hostKeys "fixed"; hostKey "x"; }', "without a passphrase"),
    ('context extends Context { mode "nocloud"; hostKeys "fixed"; hostKey "@/nowhere"; }', "from /nowhere"),
    ('context extends Context { mode "nocloud"; hostKey "@/nowhere"; }', 'say hostKeys "fixed"'),
    ('context extends Context { mode "mac"; hostKeys "fixed"; hostKey "x"; }', "cannot tell hostKey"),
    ('context extends Context { secret [|"userdata"|]; }', "did you mean userData?"),
    ('context extends Context { secret [|"mode"|]; }', '"mode" is none of users'),
    ("context 5;", "must be a reference"),
    ("context LAZY ATTRIB host;", "must lead to a Context"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "words"), WRONG)
async def test_a_wrong_context_is_refused_and_leaves_nothing(bench, more, words):
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(text(more))

    assert any(word in str(failure.value) for word in words.split("|")), str(failure.value)
    assert disks(bench) == []
    assert bench.one.process.lives == bench.two.process.lives == {}


@pytest.mark.parametrize(
    ("kind", "words"),
    [("OverlayStorageBackend", "a qcow2 volume"), ("LoopbackStorageBackend", "holds no ext2")],
)
async def test_a_volume_that_cannot_be_written_into_is_refused(bench, tmp_path, kind, words):
    image = tmp_path / "disk.img"
    image.write_bytes(b"\0" * 2**20)
    beside = LOOP.format(kind=kind, image=image)
    more = 'diskless false; storageBackend LAZY ATTRIB loop; context extends Context { mode "inject"; }'

    with pytest.raises(EngineError, match=words):
        await bench.deploy(text(more, beside))

    assert list((bench.work / "volumes").iterdir()) == []
