"""Two daemons: an image made on one is used on the other, over TLS, and only peers may ask for it."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from contextlib import closing

import pytest

import sfdl
from components.images.store import Store
from engine.core.faults import EngineError, NotAllowed
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.sabotage import Plan
from engine.wire.codec import encode
from engine.wire.messages import Piece, PullPiece

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

MAKER = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    images extends ImageStore {{ folder "{folder}"; }}
    system extends TarImage {{ archive "{archive}"; store LAZY ATTRIB images; size "48m"; }}
}}
"""
USER = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {{
    sfSyncTerminate true; hypervisorUri "test:///default";
    images extends ImageStore {{ folder "{folder}"; sources [|"one"|]; patience 60; }}
    system extends BaseImage {{ digest "{digest}"; store LAZY ATTRIB images; }}
    disk extends OverlayStorageBackend {{
        baseImage LAZY ATTRIB system; volumeSize "64m"; swapSize 0; spaceReserve 0; keepOnFailure 0; }}
    vm extends KvmDomain {{ storageBackend LAZY ATTRIB disk; memory 64; context extends Context {{ mode "none"; }} }}
}}
"""


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "system.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in {"etc/hostname": b"x\n", "srv/blob": os.urandom(12 * 2**20)}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_an_image_made_on_one_host_is_a_machines_base_on_another(tmp_path, archive):
    made, used = tmp_path / "made", tmp_path / "used"
    with daemons(tmp_path, "one", "two") as (one, two):
        with closing(one.client()) as client:
            maker = MAKER.format(folder=made, archive=archive)
            client.start("maker", sfdl.compile(maker).root).result()
            (kept,) = Store(made).all()
            with pytest.raises(NotAllowed):
                client.send("stream", encode(PullPiece(kept.digest, "me")), Piece, 10)
        with closing(two.client()) as client:
            user = USER.format(folder=used, digest=kept.digest)
            client.start("user", sfdl.compile(user).root).result()
            copy = Store(used).path(kept.digest)
            assert f"sha256:{hashlib.sha256(copy.read_bytes()).hexdigest()}" == kept.digest
            assert Store(used).users(kept.digest) == 2  # the image component, and the layer on it
            assert client.terminate("user", Record.normal("over")).result().leftovers == ()
            assert Store(used).users(kept.digest) == 0
        with closing(one.client()) as client:
            client.terminate("maker", Record.normal("over")).result()


def test_a_daemon_killed_while_an_image_comes_takes_it_up_again(tmp_path, archive):
    made, used = tmp_path / "made", tmp_path / "used"
    with daemons(tmp_path, "one", "two") as (one, two), closing(one.client()) as client:
        maker = MAKER.format(folder=made, archive=archive)
        client.start("maker", sfdl.compile(maker).root).result()
        (kept,) = Store(made).all()
        user = sfdl.compile(USER.format(folder=used, digest=kept.digest)).root
        part = Store(used).scratch(f"{kept.digest[7:]}.part")
        two.stop()
        two.start(sabotage=[Plan("image sha256", "made", "kill")])
        with closing(two.client()) as other:
            operation = other.start("user", user)
            operation._poll(0.05)
            two.reap()
            two.start()
            with pytest.raises(EngineError):
                operation.result()
        assert not part.exists()
        wait_until(lambda: Store(used).users(kept.digest) == 0)
        with closing(two.client()) as other:
            other.start("user", user).result()
            assert Store(used).users(kept.digest) == 2
            two.kill()
            two.start()
        with closing(two.client()) as other:
            # The test driver's machine died with the daemon, so the application ends; nothing is left.
            wait_until(lambda: Store(used).users(kept.digest) == 0)
        client.terminate("maker", Record.normal("over")).result()
