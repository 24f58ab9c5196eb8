"""The daemon killed while a domain's image is saved: the image is made after all, nothing is lost."""

from __future__ import annotations

import os
import tarfile

import pytest

import sfdl
from engine.client.client import DaemonUnreachable
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.sabotage import Plan

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

POOL = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {{
    hypervisorUri "test:///default"; sfSyncTerminate true;
    loop extends LoopbackStorageBackend {{
        domainName "d"; baseImage "{tree}"; volumeSize "40m"; swapSize "1m"; spaceReserve 0;
        directory "{volumes}"; saveImage true; saveImagePath "{images}"; saveImageName "saved";
        saveImageExtension "{extension}"; {more}
    }}
}}
"""
CONTENT = b"what must not be lost"


@pytest.fixture
def pool(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "result").write_bytes(CONTENT)
    (tree / "noise").write_bytes(os.urandom(12 * 2**20))  # so that packing it takes a while

    def compiled(extension="tar", more=""):
        text = POOL.format(
            tree=tree, volumes=tmp_path / "volumes", images=tmp_path / "images",
            extension=extension, more=more,
        )  # fmt: skip
        return sfdl.compile(text).root

    return compiled


def below(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def held(daemon):
    client = daemon.client()
    try:
        facts = dict(client.diagnosis().facts)
    finally:
        client.close()
    return int(facts["ledger_effects"]), int(facts["ledger_segments"])


def kill_inside_the_save(daemon, tmp_path, extension):
    """Begin to end the pool, and kill the daemon while the image is half there."""
    client = daemon.client()
    operation = client.terminate("pool", Record.normal())
    operation._poll(0.05)
    part = tmp_path / "images" / f"saved.{extension}.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 0, what="half an image")
    daemon.kill()
    assert part.exists()
    with pytest.raises(DaemonUnreachable):
        operation.result()
    client.close()


def whole(tmp_path, extension):
    with tarfile.open(tmp_path / "images" / f"saved.{extension}") as archive:
        names = {member.name.removeprefix("./"): member for member in archive}
        return archive.extractfile(names["result"]).read() == CONTENT


def test_an_image_half_saved_is_made_at_the_next_start_and_the_volumes_go(tmp_path, pool):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", pool("tar.xz")).result()
        client.close()
        kill_inside_the_save(one, tmp_path, "tar.xz")

        one.start()

        assert below(tmp_path / "volumes")  # they wait for the image
        wait_until(lambda: held(one) == (0, 0), timeout_s=120, what="all done")
        assert below(tmp_path / "images") == ["saved.tar.xz", "saved.tar.xz.json"]
        assert whole(tmp_path, "tar.xz")
        assert below(tmp_path / "volumes") == []


def test_killed_again_while_finishing_it_is_finished_at_the_start_after_that(tmp_path, pool):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", pool("tar.xz")).result()
        client.close()
        kill_inside_the_save(one, tmp_path, "tar.xz")
        one.start()
        one.kill()
        assert below(tmp_path / "volumes")

        one.start()

        wait_until(lambda: held(one) == (0, 0), timeout_s=120, what="all done")
        assert whole(tmp_path, "tar.xz")
        assert below(tmp_path / "volumes") == []


@pytest.mark.parametrize("when", ["making", "made"])
@pytest.mark.parametrize(
    ("keep", "stay"), [("true", True), ("false", False), ('"statuquo"', False)]
)
def test_a_crash_around_the_save_keeps_image_and_volumes_as_the_table_says(
    tmp_path, pool, when, keep, stay
):
    with daemons(tmp_path, "one") as (one,):
        one.stop()
        one.start(sabotage=[Plan("SavedImage", when, "kill")])
        client = one.client()
        client.start("pool", pool(more=f"keepVolumes {keep};")).result()
        with pytest.raises(DaemonUnreachable):
            client.terminate("pool", Record.normal()).result()
        client.close()
        one.reap()

        one.start()

        wait_until(lambda: held(one) == (0, 0), timeout_s=60, what="all done")
        assert whole(tmp_path, "tar")
        left = [name for name in below(tmp_path / "volumes") if not name.endswith(".json")]
        assert left == (["d-volume1", "d-volume1-swap"] if stay else [])


def test_an_image_that_cannot_be_finished_leaves_the_volumes_and_says_so(tmp_path, pool):
    with daemons(tmp_path, "one") as (one,):
        one.stop()
        one.start(sabotage=[Plan("SavedImage", "making", "kill")])
        client = one.client()
        client.start("pool", pool()).result()
        with pytest.raises(DaemonUnreachable):
            client.terminate("pool", Record.normal()).result()
        client.close()
        one.reap()
        (tmp_path / "images").write_text("a file where a folder should be")

        one.start()

        wait_until(lambda: held(one) == (0, 0), timeout_s=60, what="all done")
        left = {name for name in below(tmp_path / "volumes") if not name.endswith(".json")}
        assert left == {"d-volume1", "d-volume1-swap"}  # and nothing says that they are in use
        assert "could not be finished" in one.log.read_text()


def test_a_redeployment_waits_until_the_image_is_finished(tmp_path, pool):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", pool("tar.xz")).result()
        client.close()
        kill_inside_the_save(one, tmp_path, "tar.xz")
        one.start()
        again = one.client()

        with pytest.raises(EngineError, match="could not be undone yet"):
            again.start("pool", pool("tar.xz", "saveImage false;")).result()

        wait_until(lambda: held(one) == (0, 0), timeout_s=120, what="all done")
        assert whole(tmp_path, "tar.xz")
        again.start("pool", pool("tar.xz", "saveImage false;")).result()
        assert again.terminate("pool", Record.normal()).result().leftovers == ()
        again.close()
