"""For every test: it leaves nothing behind. For any test: a lab of three hosts, as good as new each time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from components.testbed.lab import Lab, LabError
from components.testbed.lab.lab import check_machine
from tests import leaks


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
