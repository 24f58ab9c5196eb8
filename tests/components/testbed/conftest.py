"""One tiny guest for the whole run, one private host per module."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.testbed.guest_image import GuestImage, default_cache
from components.testbed.private_libvirtd import PrivateLibvirtd
from components.testbed.tools import missing


@pytest.fixture(scope="session")
def able() -> None:
    """Skip where real guests cannot run; in CI that is a failure."""
    reasons = [] if os.geteuid() == 0 else ["not root"]
    reasons += [f"{package} is not installed" for package in missing()]
    if reasons:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"real guests need more: {', '.join(reasons)}")


@pytest.fixture(scope="session")
def image(able: None) -> GuestImage:
    return GuestImage.build(default_cache())


@pytest.fixture(scope="module")
def host(able: None) -> Iterator[PrivateLibvirtd]:
    directory = Path(tempfile.mkdtemp(prefix="sd-"))
    try:
        with PrivateLibvirtd(directory) as running:
            yield running
    finally:
        shutil.rmtree(directory)
