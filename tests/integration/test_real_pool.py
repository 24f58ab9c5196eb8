"""Storage pools of a real libvirtd: 20 volumes at once, whose they are, their content, their growth."""

from __future__ import annotations

import subprocess

import pytest

import sfdl
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.core.lifecycle import State
from engine.testing.kit import engines, until
from engine.testing.sabotage import Plan, Saboteur

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {
    sfSyncTerminate true; hypervisorUri TBD;
    store extends StoragePool { poolName "sdpool"; target "TARGET"; mode "0711"; }
    BESIDE
}
"""


@pytest.fixture
async def engine(tmp_path):
    async with engines(tmp_path / "state", 1, threads=True) as (_network, (one,)):
        yield one


@pytest.fixture
def target(host):
    return host.directory.parent / "pool"


def compiled(host, target, beside=""):
    text = POOL.replace("TARGET", str(target)).replace("BESIDE", beside)
    return sfdl.compile(text, overrides=[("sfConfig:hypervisorUri", host.uri)]).root


def virsh(host, *words):
    done = subprocess.run(
        ["virsh", "-c", host.uri, *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def pools(host):
    return virsh(host, "pool-list", "--all", "--name").split()


def find(engine, name):
    return next(live for live in engine.process.lives.values() if live.name == name)


@pytest.mark.parametrize("round_", range(5))
async def test_twenty_volumes_with_content_are_made_together_while_the_pool_is_refreshed(
    host, target, engine, tmp_path, round_
):
    image = tmp_path / "image"
    image.write_bytes(bytes(2**20) + b"content " * 2**16 + bytes(2**20))
    volumes = "\n".join(
        f'v{n} extends Volume {{ pool LAZY ATTRIB store; volumeName "v{n}"; capacity "4m"; '
        f'from "{image}"; }}'
        for n in range(20)
    )
    together = compiled(
        host, target, f"all extends Parallel {{ asynchCreateChild true; {volumes} }}"
    )
    await engine.deploy("app", together)
    storage = (await engine.process.services.get(HypervisorPool).get(host.uri)).storage
    uuid = find(engine, "store").value("uuid")
    for _ in range(10):
        await storage.refresh(uuid)

    made = [f"v{n}" for n in range(20)]
    lives = engine.process.lives
    await until(
        lambda: {one.name for one in lives.values() if one.state is State.STARTED} >= set(made),
        timeout_s=60,
    )

    listed = virsh(host, "vol-list", "sdpool").splitlines()[2:]
    assert sorted(line.split()[0] for line in listed if line) == sorted(made)
    for name in made:
        data = (target / name).read_bytes()
        assert len(data) == 4 * 2**20
        assert data[2**20 : 2**20 + 8 * 2**16] == b"content " * 2**16
        assert (target / name).stat().st_mode & 0o777 == 0o600
    assert target.stat().st_mode & 0o777 == 0o711
    assert not engine.process.reaper.lines()
    await engine.terminate("app")
    assert pools(host) == []
    assert not target.exists()


async def test_a_volume_that_is_removed_late_outlives_its_pool_and_goes_all_the_same(
    host, target, engine
):
    volume = 'late extends Volume { pool LAZY ATTRIB store; volumeName "late"; capacity "1m"; }'
    await engine.deploy("app", compiled(host, target, volume))
    engine.process.keeper.saboteur = Saboteur([Plan("sdpool/late", "undoing", "raise")])
    assert (target / "late").exists()
    await engine.terminate("app")

    await until(lambda: not engine.process.reaper.lines(), timeout_s=30)
    assert engine.process.keeper.saboteur.struck == ["undoing volume sdpool/late"]
    assert pools(host) == []
    target.rmdir()  # it was named by the description, and was not empty when its pool went


async def test_a_folder_that_was_there_before_stays(host, target, engine):
    target.mkdir()
    try:
        await engine.deploy("app", compiled(host, target))
        assert pools(host) == ["sdpool"]
        await engine.terminate("app")

        assert pools(host) == []
        assert target.is_dir()
    finally:
        target.rmdir()


async def test_a_pool_made_by_hand_is_not_touched(host, target, engine):
    target.mkdir()
    virsh(host, "pool-create-as", "sdpool", "dir", "--target", str(target))
    try:
        with pytest.raises(EngineError, match=r"sdpool exists already .not made by smartdomains"):
            await engine.deploy("app", compiled(host, target))

        assert virsh(host, "pool-list", "--name").split() == ["sdpool"]
    finally:
        virsh(host, "pool-destroy", "sdpool")
        target.rmdir()


async def test_a_backend_fills_its_volumes_through_the_hypervisor(host, target, engine, tmp_path):
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "hello").write_text("hello\n")
    backend = f"""
    b extends PoolStorageBackend {{
        pool LAZY ATTRIB store; domainName "d"; baseImage "{tree}"; makeFs "mkfs.ext4";
        volumeSize "16m"; swapSize "1m"; spaceReserve 0; dataVolumes [|[|"db", "8m", "ext4"|]|];
        saveImage true; saveImagePath "{tmp_path}/saved"; saveImageName "d";
    }}"""

    await engine.deploy("app", compiled(host, target, backend))

    found = subprocess.run(
        ["/sbin/debugfs", "-R", "cat /etc/hello", str(target / "d-volume1")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout == "hello\n"
    assert b"SWAPSPACE2" in (target / "d-volume1-swap").read_bytes()[:4096]
    assert (target / "d-volume1-db").read_bytes()[0x438:0x43A] == b"\x53\xef"
    await engine.terminate("app")
    assert not target.exists()
    members = subprocess.run(
        ["tar", "-tf", str(tmp_path / "saved" / "d.tar")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "./etc/hello" in members.splitlines()


async def test_a_layer_over_an_image_has_its_backing_named(host, target, engine, tmp_path):
    base = host.directory.parent / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), "8M"], check=True)
    backend = f"""
    b extends PoolStorageBackend {{
        pool LAZY ATTRIB store; domainName "d"; baseImage "{base}"; layered true;
        volumeSize "16m"; swapSize 0; spaceReserve 0;
    }}"""

    await engine.deploy("app", compiled(host, target, backend))

    info = subprocess.run(
        ["qemu-img", "info", str(target / "d-volume1")], capture_output=True, text=True, check=True
    ).stdout
    assert f"backing file: {base}" in info
    assert "backing file format: qcow2" in info
    assert "16 MiB" in info
    await engine.terminate("app")
    assert not target.exists()


async def test_a_volume_grows_where_it_is_and_is_never_cut(host, target, engine):
    beside = 'v extends Volume { pool LAZY ATTRIB store; volumeName "v"; capacity "4m"; }'
    await engine.deploy("app", compiled(host, target, beside))
    (target / "v").write_bytes(b"x" * 4 * 2**20)

    await engine.set("app:v", "capacity", "8m")

    assert (target / "v").stat().st_size == 8 * 2**20
    assert (target / "v").read_bytes()[: 4 * 2**20] == b"x" * 4 * 2**20
    assert find(engine, "v").value("capacityBytes") == 8 * 2**20
    with pytest.raises(EngineError, match="volumes grow, they are never cut"):
        await engine.set("app:v", "capacity", "6m")
    assert (target / "v").stat().st_size == 8 * 2**20
    await engine.terminate("app")
    assert not target.exists()


async def test_a_clone_has_the_content_of_its_origin(host, target, engine, tmp_path):
    image = tmp_path / "image"
    image.write_bytes(b"origin  " * 2**17)
    beside = f"""
    v extends Volume {{ pool LAZY ATTRIB store; volumeName "v"; capacity "1m"; from "{image}"; }}
    c extends Volume {{ pool LAZY ATTRIB store; volumeName "c"; capacity "2m"; from LAZY ATTRIB v; }}
    """

    await engine.deploy("app", compiled(host, target, beside))

    assert (target / "c").read_bytes()[: 2**20] == image.read_bytes()
    assert (target / "c").stat().st_size == 2 * 2**20
    await engine.terminate("app")
    assert not target.exists()
