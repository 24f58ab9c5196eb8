"""For every test: it leaves nothing behind. For any test: a lab of three hosts, a real hypervisor, a guest for it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.testbed.guest_image import GuestImage, default_cache
from components.testbed.lab import Lab, LabError
from components.testbed.lab.lab import check_machine
from components.testbed.private_libvirtd import PrivateLibvirtd
from components.testbed.tools import missing
from engine.testing.kit import CRASHED
from tests import leaks

ALONE = "SMARTDOMAINS_TESTS_ALONE"
"""Variable that says that no other tests run on this machine: then all of it is looked at in the end."""
BEFORE = pytest.StashKey[set[str]]()

_cancel_all_tasks = asyncio.runners._cancel_all_tasks


def _refuse_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """End what runs when a loop is closed, and fail for it: who started it should have."""
    left = sorted(f"task {task.get_name()}: {task.get_coro()}" for task in asyncio.all_tasks(loop))
    _cancel_all_tasks(loop)
    if left and loop not in CRASHED:
        raise AssertionError("left behind: " + "; ".join(left))


asyncio.runners._cancel_all_tasks = _refuse_tasks


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember which namespaces and files of ours there are."""
    session.config.stash[BEFORE] = leaks.of_the_machine()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if it has left a namespace, a group of processes or a file outside its folder."""
    if hasattr(session.config, "workerinput") or not os.environ.get(ALONE):
        return
    left = leaks.of_the_machine() - session.config.stash[BEFORE]
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.get_terminal_writer().line(f"left behind: {'; '.join(sorted(left))}")


def need_lab(*, libvirt: bool) -> None:
    """Skip where no lab can be made; in CI that is a failure."""
    try:
        check_machine(libvirt=libvirt)
    except (LabError, PermissionError) as error:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(str(error))


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a process or a socket of its own.

    A lab that outlives the test starts its hosts anew; what it leaves is looked at where it ends.
    """
    before = leaks.seen()
    yield
    found = leaks.left(before)
    if {"lab", "lab_with_xen"} & set(request.fixturenames):
        found = [each for each in found if not each.startswith("process")]
    if found:
        pytest.fail("left behind: " + "; ".join(found), pytrace=False)


@pytest.fixture(scope="session")
def lab_machine() -> None:
    need_lab(libvirt=False)


@pytest.fixture(scope="session")
def lab_of_the_run(lab_machine: None) -> Iterator[Lab]:
    with Lab(3) as lab:
        yield lab


@pytest.fixture
def lab(lab_of_the_run: Lab) -> Iterator[Lab]:
    """Three hosts without libvirtd; after the test its applications end and its faults are healed."""
    yield lab_of_the_run
    try:
        lab_of_the_run.reset()
    except BaseException:
        lab_of_the_run.down()
        lab_of_the_run.up()
        raise


@pytest.fixture(scope="session")
def guests() -> None:
    """Skip where real guests cannot run; in CI that is a failure."""
    reasons = [] if os.geteuid() == 0 else ["not root"]
    reasons += [f"{package} is not installed" for package in missing()]
    if reasons:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"real guests need more: {', '.join(reasons)}")


@pytest.fixture(scope="session")
def image(guests: None) -> GuestImage:
    """The tiny guest."""
    return GuestImage.build(default_cache())


@pytest.fixture(scope="module")
def host(guests: None) -> Iterator[PrivateLibvirtd]:
    """A libvirtd of the module's own, in a folder with nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="sd-", dir="/tmp"))
    try:
        with PrivateLibvirtd(folder / "h") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)
