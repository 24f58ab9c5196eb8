"""A shared directory between two daemons, each in a mount namespace of its own."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

STORE = """
#include "components/vm.sf"
sfConfig extends Compound {
    sfSyncTerminate true;
    shared extends SharedStore { path "PATH"; hosts [|"h1", "h2"|]; }
}
"""


@pytest.fixture
def folder():
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    path = Path(f"/tmp/sd-shared-{secrets.token_hex(4)}")
    path.mkdir()
    yield path
    shutil.rmtree(path)


def start(lab, folder, tmp_path):
    (tmp_path / "store.sf").write_text(STORE.replace("PATH", str(folder)))
    return lab.sf("sfstart", "h1", "app", str(tmp_path / "store.sf"))


def test_what_both_see_is_shared_and_what_one_has_mounted_over_is_not(lab, folder, tmp_path):
    done = start(lab, folder, tmp_path)
    assert done.code == 0, done.err
    assert lab.sf("sfterminate", "h1", "app").code == 0
    assert list(folder.iterdir()) == []

    assert lab["h2"].run("mount", "-t", "tmpfs", "none", str(folder)).code == 0
    try:
        done = start(lab, folder, tmp_path)

        assert done.code != 0
        assert "is not shared" in done.err
        assert "does not see what" in done.err
        assert list(folder.iterdir()) == []
        assert lab["h2"].run("ls", "-A", str(folder)).out == ""
    finally:
        lab["h2"].run("umount", str(folder))
