"""What the screen looks like, cell by cell, with a clock that stands still.

After a wished change: `pytest tests/tui/test_screens.py --snapshot-update`, and look at the pictures.
"""

from __future__ import annotations

import pytest

from engine.testing.kit import until

SMALL = (80, 24)
LARGE = (160, 50)
sizes = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x50"])


@pytest.fixture
def two_daemons(fake, pool):
    one, two = fake("one", 3801), fake("two", 3802)
    top = pool(one)
    two.add(top, "computer4", "kvm.domain")
    web = two.add(None, "web", "compound")
    two.add(web, "front", "system.shell")
    return one, two


async def loaded(pilot, rows=13):
    """Let time pass until everything is read, then paint."""
    app = pilot.app
    app.animation_level = "none"

    def ready():
        app.clock.now_s += 0.2
        return app.components.count() == rows and not app.model.reading

    await until(ready, timeout_s=20.0)
    app.clock.now_s = 1100.0
    for node in app.model.forest.walk():
        node.since_s = 1035.0
    for view in app.model.hosts.values():
        view.heard_s = 1100.0
    await settled(pilot)


async def settled(pilot):
    """Have everything painted as it is."""
    app = pilot.app
    await until(lambda: app.table.rows, timeout_s=10.0)
    await pilot.pause(0.3)
    app._paint()
    await pilot.pause()


@sizes
def test_the_whole_screen(snap_compare, console, two_daemons, size):
    one, _ = two_daemons

    async def before(pilot):
        await loaded(pilot)
        one.judge(one.apps["pool"], good=True)
        await until(lambda: pilot.app.model.lines)
        await pilot.press("down", "down")
        await until(lambda: "storage.loop" in {row.value for row in pilot.app.table.rows})
        await settled(pilot)

    assert snap_compare(console(*two_daemons), terminal_size=size, run_before=before)


@sizes
def test_a_lost_daemon(snap_compare, console, two_daemons, size):
    _, two = two_daemons

    async def before(pilot):
        await loaded(pilot)
        await pilot.press("end")
        await until(lambda: "system.shell" in {row.value for row in pilot.app.table.rows})
        two.crash()
        view = pilot.app.model.hosts[two.address]
        await until(lambda: view.reach.value == "lost")
        view.heard_s = 1088.0
        await settled(pilot)

    assert snap_compare(console(*two_daemons), terminal_size=size, run_before=before)


@sizes
def test_the_question_before_a_termination(snap_compare, console, two_daemons, size):
    async def before(pilot):
        await loaded(pilot)
        await pilot.press("t")
        await pilot.pause(0.3)

    assert snap_compare(console(*two_daemons), terminal_size=size, run_before=before)


def test_help(snap_compare, console, two_daemons):
    async def before(pilot):
        await loaded(pilot)
        await pilot.press("question_mark")
        await pilot.pause(0.3)

    assert snap_compare(console(*two_daemons), terminal_size=LARGE, run_before=before)


def test_a_filter_being_written(snap_compare, console, two_daemons):
    async def before(pilot):
        await loaded(pilot)
        pilot.app.query_one("#filter").cursor_blink = False
        await pilot.press("slash", *"kvm !computer1")
        await settled(pilot)

    assert snap_compare(console(*two_daemons), terminal_size=SMALL, run_before=before)


def test_no_application_at_all(snap_compare, console, fake):
    async def before(pilot):
        app = pilot.app

        def quiet():
            app.clock.now_s += 0.2
            return not app.model.reading and app.model.hosts["127.0.0.1:3801"].name

        await until(quiet)
        app.clock.now_s = 1100.0
        app.model.hosts["127.0.0.1:3801"].heard_s = 1100.0
        app._paint()
        await pilot.pause(0.3)

    assert snap_compare(console(fake("one", 3801)), terminal_size=SMALL, run_before=before)
