"""`sfconsole` on a terminal of its own: raw while it is open, as before whatever happens."""

from __future__ import annotations

import contextlib
import signal
import subprocess

import pytest

import sfdl
from engine.testing.daemons import daemons
from tests.commands.terminal import BIN, terminal

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

APP = """
#include "org/smartfrog/components.sf"
Echo extends Prim { sfClass "engine.testing.components.Echoing"; }
sfConfig extends Compound { near extends Echo; far extends Echo { sfProcessHost "two"; } }
"""


@contextlib.contextmanager
def running(folder):
    """Two daemons, with something on each that has a console."""
    (folder / "app.sf").write_text(APP)
    with daemons(folder, "one", "two") as (one, two):
        with contextlib.closing(one.client()) as client:
            client.start("app", sfdl.compile(folder / "app.sf").root).result()
        yield one, two


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with running(tmp_path_factory.mktemp("consoles")) as both:
        yield both


@pytest.mark.parametrize("name", ["app:near", "app:far"])
def test_keys_go_there_and_what_comes_is_shown_until_the_escape(hosts, name):
    with terminal("sfconsole", "localhost", name, "-p", hosts[0].port) as seen:
        seen.expect(b"hello")
        seen.until_raw()
        seen.type(b"ls\r\x03\x04")
        seen.expect(b"LS\r\x03\x04")
        seen.type(b"\x1d")
        assert seen.ended() == 0
        seen.expect(b"left")


def test_the_end_of_the_channel_is_told_and_leaves(hosts):
    with terminal("sfconsole", "localhost", "app:near", "-p", hosts[0].port) as seen:
        seen.until_raw()
        seen.type(b"bye.")
        seen.expect(b"console of app:near has ended")
        assert seen.ended() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_terminal_as_it_was(hosts, number, code):
    with terminal("sfconsole", "localhost", "app:near", "-p", hosts[0].port) as seen:
        seen.expect(b"hello")
        seen.until_raw()
        seen.process.send_signal(number)
        assert seen.ended() == code


def test_a_daemon_that_dies_leaves_the_terminal_as_it_was(tmp_path):
    with (
        running(tmp_path) as (one, _),
        terminal("sfconsole", "localhost", "app:near", "-p", one.port) as seen,
    ):
        seen.expect(b"hello")
        seen.until_raw()
        one.kill()
        assert seen.ended(60) == 4


def test_what_comes_down_a_pipe_is_sent_and_the_rest_is_shown(hosts):
    done = subprocess.run(
        [BIN / "sfconsole", "localhost", "app:near", "-p", str(hosts[0].port), "-q"],
        input=b"over and out.", capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"hello\nOVER AND OUT.")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("app",), 7, "which has no console"),
        (("app:nobody",), 7, "nobody"),
        (("app:near", "--log"), 7, "which has no console log"),
    ],
)
def test_what_has_no_console_is_refused_in_words(hosts, words, code, text):
    done = subprocess.run(
        [BIN / "sfconsole", "localhost", *words, "-p", str(hosts[0].port)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
