"""Overlays: instant, independent, and refused on a base that has changed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess

import pytest

from engine.core.faults import EngineError

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    root extends OverlayStorageBackend {{
        domainName "d"; baseImage "{image}"; volumeSize "16m"; swapSize 0; spaceReserve 0; {more}
    }}
}}
"""


@pytest.fixture(params=["raw", "qcow2"])
def image(tmp_path, request):
    path = tmp_path / f"base.{request.param}"
    subprocess.run(["qemu-img", "create", "-q", "-f", request.param, str(path), "8M"], check=True)
    return path


async def test_an_overlay_names_its_base_and_its_format(bench, image):
    await bench.deploy(POOL.format(image=image, more=""))

    path = bench.work / "volumes" / "d-volume1"
    done = subprocess.run(
        ["qemu-img", "info", "--output=json", str(path)], capture_output=True, check=True
    )
    facts = json.loads(done.stdout)
    assert facts["format"] == "qcow2"
    assert facts["virtual-size"] == 16 * 2**20
    assert facts["backing-filename"] == str(image)
    assert facts["backing-filename-format"] == image.suffix[1:]
    await bench.one.terminate("app")
    assert list((bench.work / "volumes").iterdir()) == []
    assert image.exists()


async def test_an_overlay_on_a_changed_base_is_refused(bench, image):
    await bench.deploy(POOL.format(image=image, more="keepVolumes true;"))
    await bench.one.terminate("app")
    with image.open("r+b") as file:
        file.seek(4096)
        file.write(b"changed")

    with pytest.raises(EngineError, match="StaleBase"):
        await bench.deploy(POOL.format(image=image, more="usingExistingVolumes true;"))


@pytest.mark.parametrize("known", [True, False])
async def test_a_base_that_was_only_touched_is_the_same_if_its_digest_is_known(bench, image, known):
    digest = (
        f'imageDigest "sha256:{hashlib.sha256(image.read_bytes()).hexdigest()}";' if known else ""
    )
    await bench.deploy(POOL.format(image=image, more=f"keepVolumes true; {digest}"))
    await bench.one.terminate("app")
    os.utime(image, (1, 1))
    again = POOL.format(image=image, more="usingExistingVolumes true; keepVolumes true;")

    if known:
        await bench.deploy(again)
        await bench.one.terminate("app")
    else:
        with pytest.raises(EngineError, match="StaleBase"):
            await bench.deploy(again)


async def test_a_folder_is_no_base(bench, tmp_path):
    with pytest.raises(EngineError, match="raw or qcow2"):
        await bench.deploy(POOL.format(image="/usr/share/common-licenses", more=""))

    assert not (bench.work / "volumes").exists()


async def test_a_value_of_flatten_on_that_means_nothing_yet_is_refused(bench, image):
    with pytest.raises(EngineError, match=r"flattenOn.* must be one of save"):
        await bench.deploy(POOL.format(image=image, more='flattenOn "migrate";'))
