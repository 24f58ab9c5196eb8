"""What the keys do, driven as a user would, over daemons in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.testing.kit import until
from tui.widgets.confirm import Confirm
from tui.widgets.help import Help

POOL = [
    "pool",
    "pool:computer1", "pool:computer1:disk", "pool:computer1:domain",
    "pool:computer2", "pool:computer2:disk", "pool:computer2:domain",
    "pool:computer3", "pool:computer3:disk", "pool:computer3:domain",
]  # fmt: skip


@pytest.fixture
def one(fake, pool):
    daemon = fake("one", 1)
    pool(daemon)
    return daemon


async def seen(pilot, condition):
    """Wait until the screen is as expected."""
    await until(condition, timeout_s=15.0)
    await pilot.pause()


async def shown(pilot, paths=POOL):
    app = pilot.app
    await seen(pilot, lambda: app.components.paths == list(paths))


def status(app):
    return str(app.query_one("#status").render())


def selected(app):
    return app.components.selected.row.path


async def test_the_tree_is_shown_and_the_cursor_moves(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("down", "j", "down", "up")
        assert selected(app) == "pool:computer1:disk"
        await pilot.press("G")
        assert selected(app) == "pool:computer3:domain"
        await pilot.press("g")
        assert selected(app) == "pool"


async def test_left_folds_and_right_unfolds(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("down", "left")
        assert app.components.paths == POOL[:2] + POOL[4:]
        await pilot.press("left")
        assert selected(app) == "pool"
        await pilot.press("down", "right")
        assert app.components.paths == POOL
        await pilot.press("right")
        assert selected(app) == "pool:computer1:disk"
        await pilot.press("minus")
        assert app.components.paths == ["pool"]
        assert selected(app) == "pool"
        await pilot.press("plus")
        assert app.components.paths == POOL


async def test_the_attributes_follow_the_cursor(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("down", "down", "down")
        await seen(pilot, lambda: [r.value for r in app.table.rows][:1] == ["kvm.domain"])
        assert app.table.border_title == "pool:computer1:domain · kvm.domain"


async def test_attributes_are_read_again_when_one_changes(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await seen(pilot, lambda: app.table.rows)
        asked = one.asked.count(("attributes", "pool"))
        one.set(one.apps["pool"], "size", "1")
        await seen(pilot, lambda: one.asked.count(("attributes", "pool")) > asked)


async def test_the_selected_component_stays_selected_while_rows_come_and_go(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("end")
        first = one.apps["pool"].children["computer1"]
        one.add(first, "more")
        await seen(pilot, lambda: "pool:computer1:more" in app.components.paths)
        assert selected(app) == "pool:computer3:domain"
        assert app.components.cursor == len(POOL)


async def test_yes_terminates_what_was_shown(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("down", "t")
        await seen(pilot, lambda: isinstance(app.screen, Confirm))
        text = str(app.screen.query_one("#consequences").render())
        assert "3 components will end on one" in text
        assert "pool:computer1:disk" in text
        assert "pool decides what follows" in text
        await pilot.press("y")
        await shown(pilot, POOL[:1] + POOL[4:])
        await seen(pilot, lambda: status(app).startswith("terminated pool:computer1: 3 components"))
    ((ref, record),) = one.ended
    assert (ref, record.type, record.description) == (
        "pool:computer1", "normal", "ended from the console",
    )  # fmt: skip


@pytest.mark.parametrize("key", ["n", "escape"])
async def test_no_leaves_everything_as_it_is(console, one, key):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("down", "t")
        await seen(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press(key)
        await seen(pilot, lambda: not isinstance(app.screen, Confirm))
        assert status(app) == "pool:computer1 was left as it is"
        assert app.components.paths == POOL
    assert one.ended == []
    assert ("terminate", "pool:computer1") not in one.asked


async def test_a_reason_can_be_given_and_enter_confirms(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("down", "T")
        await seen(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("r", *["backspace"] * 30, *"try y", "enter")
        await seen(pilot, lambda: one.ended)
    ((_, record),) = one.ended
    assert (record.type, record.description) == ("abnormal", "try y")


async def test_nothing_can_be_terminated_through_a_lost_daemon(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        one.crash()
        await seen(pilot, lambda: app.model.hosts[one.address].reach.value == "lost")
        await pilot.press("t")
        assert status(app) == "✖ pool cannot be terminated: one does not answer"
        assert not isinstance(app.screen, Confirm)


async def test_slash_filters_while_it_is_written_and_escape_shows_all(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("slash", *"computer2")
        await seen(pilot, lambda: app.components.paths == ["pool", *POOL[4:7]])
        assert app.components.border_title == "4 of 10 components: “computer2”"
        await pilot.press("enter", "end")
        assert selected(app) == "pool:computer2:domain"
        await pilot.press("escape")
        assert app.components.paths == POOL
        assert selected(app) == "pool:computer2:domain"


async def test_f_shows_faults_only(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("f")
        assert app.components.paths == ["pool", "pool:computer2", "pool:computer2:domain"]
        await pilot.press("f")
        assert app.components.paths == POOL


async def test_help_lists_the_keys_that_work_now(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("question_mark")
        await seen(pilot, lambda: isinstance(app.screen, Help))
        keys = dict(app.screen.keys)
        assert keys["t"] == "terminate"
        assert keys["← h"] == "fold, or go to the parent"
        await pilot.press("escape", "tab", "question_mark")
        await seen(pilot, lambda: isinstance(app.screen, Help))
        assert "← h" not in dict(app.screen.keys)
        await pilot.press("q")
        await seen(pilot, lambda: not isinstance(app.screen, Help))
        assert app.is_running


async def test_c_copies_the_complete_name(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("down", "down", "c")
        assert app.clipboard == "pool:computer1:disk"


async def test_r_reads_everything_again(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        asked = one.asked.count(("tree", "pool"))
        await pilot.press("r")
        await seen(pilot, lambda: one.asked.count(("tree", "pool")) > asked)


async def test_q_ends_the_console(console, one):
    app = console(one, ticking=True)
    async with app.run_test() as pilot:
        await shown(pilot)
        await pilot.press("q")
        await until(lambda: not app.is_running)


def test_help_of_the_command_is_quick_because_the_screen_is_not_imported():
    code = "import sys, tui.main; print(sorted({'textual', 'Pyro5', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_host_that_is_none_is_refused():
    command = Path(sys.executable).parent / "sftui"
    done = subprocess.run([command, "no host!"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not a host" in done.stderr
