"""Measures how long a key takes to reach the screen; prints one line per case.

    python tests/tui/measure.py [COMPONENTS]

The time is from handing the key to the console until it hands the changed screen to the terminal
driver, on a screen of 160x50 without a terminal behind it. Keys are given one after the other.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import sys
import threading
import time
from pathlib import Path

import click
from textual import events

from tui.app import ConsoleApp

KEYS = {
    "down": ("down",) * 100,
    "page down": ("pagedown",) * 100,
    "first and last line": ("end", "home") * 25,
    "fold and unfold": ("space", "space") * 25,
    "filter, letter by letter": ("slash", *"part09", "escape") * 5,
}


def fakes():
    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("fakes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Painted:
    """Notices when the console hands a screen to the driver."""

    def __init__(self, app):
        self._event = asyncio.Event()
        display = app._display

        def noticed(screen, renderable):
            display(screen, renderable)
            self._event.set()

        app._display = noticed

    async def after(self, app, key):
        """Press a key; return the milliseconds until the next painting."""
        self._event.clear()
        character = key if len(key) == 1 else None
        start = time.perf_counter()
        app.post_message(events.Key(key, character))
        await asyncio.wait_for(self._event.wait(), 10)
        return (time.perf_counter() - start) * 1000


async def measured(app, pilot, keys):
    painted = Painted(app)
    times = []
    for key in keys:
        times.append(await painted.after(app, key))
        await pilot.pause(0.02)
    return times


def told(name, times):
    times = sorted(times)
    worst = times[-1]
    p95 = times[int(len(times) * 0.95)]
    click.echo(
        f"{name:28} {len(times):4} keys  median {statistics.median(times):6.1f} ms"
        f"  95 % {p95:6.1f} ms  worst {worst:6.1f} ms"
    )


async def main(components):
    kit = fakes()
    daemon = kit.FakeDaemon("one", 1)
    pool = kit.big_pool(daemon, groups=components // 100)
    app = ConsoleApp([daemon.address], connect=lambda _: daemon.client())
    app.housekeeping.begin()
    begun = time.perf_counter()
    async with app.run_test(size=(160, 50)) as pilot:
        while app.components.count() < len(list(pool.walk())):
            await pilot.pause(0.01)
        click.echo(
            f"{app.components.count():,} rows shown after {time.perf_counter() - begun:.2f} s"
        )
        await pilot.pause(3.0)
        for name, keys in KEYS.items():
            told(name, await measured(app, pilot, keys))
        stop = threading.Event()
        sent = []

        def busy():
            nodes = [part for _, part in pool.walk()]
            begun = time.perf_counter()
            while not stop.is_set():
                for node in nodes[len(sent) % len(nodes) :][:200]:
                    daemon.judge(node, good=True, text="")
                    sent.append(1)
                time.sleep(max(0.0, len(sent) / 20_000 - (time.perf_counter() - begun)))

        thread = threading.Thread(target=busy, daemon=True)
        begun = time.perf_counter()
        thread.start()
        told("down, during events", await measured(app, pilot, ("down",) * 100))
        stop.set()
        thread.join()
        click.echo(
            f"events sent meanwhile: {len(sent) / (time.perf_counter() - begun):,.0f} a second"
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
