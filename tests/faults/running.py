"""One run: real daemons, a pool, its fault; afterwards a script that knows none of our code looks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

import sfdl
from engine.client.client import Client, DaemonUnreachable, Operation
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.ports import free_port
from engine.security.community import for_daemon
from engine.testing.daemons import Daemon, authority_folder
from engine.testing.sabotage import STRUCK
from tests.faults.pools import SAVED, Places, Run

OUTSIDE = Path(__file__).parents[1] / "outside" / "leftovers.py"
CLEAN_S = 60.0
"""Seconds after which what is still there counts as left behind; the reaper waits in between."""
STORE = ("cache/smartdomains/images/sha256/*", "cache/smartdomains/images/recipes/*")
"""Images made from recipes stay for others, until their store makes room."""
VOLUMES = (
    "*/port-*/work/volumes/*", "*/port-*/work/lvm/*", "*/port-*/work/pools/*/volume-*.owner.json",
)  # fmt: skip
RESULTS = ("saved/*.tar", "saved/*.tar.gz", "saved/*.raw", "saved/*.json", "*/commands.log")
KILLED = """#!/bin/sh
# Kills itself once, half-way: what it writes last is begun and not finished.
if [ ! -e "{mark}" ]; then
    : > "{mark}"
    for last; do :; done
    case "$last" in {folder}/*) head -c 512 /dev/zero >> "$last" ;; esac
    kill -9 $$
fi
PATH="{path}"
exec {name} "$@"
"""


class Outcome(Struct, frozen=True):
    """How a run went.

    Attributes:
        struck: Whether the fault came about.
        started: Whether the pool came up all the same.
        trouble: What was wrong in the end; empty if nothing.
        seconds: How long it took.
    """

    struck: bool
    started: bool
    trouble: str
    seconds: float


class _Stage:
    """The daemons of one run."""

    def __init__(self, run: Run, places: Places, folder: Path) -> None:
        self.run, self.places, self.folder = run, places, folder
        self.release, self.mark = folder / "release.log", folder / "mark.log"
        self.daemons = {name: self._daemon(name) for name in run.hosts}
        peers = {name: daemon.address for name, daemon in self.daemons.items()}
        for daemon in self.daemons.values():
            daemon._peers = peers

    def _daemon(self, name: str) -> Daemon:
        more = {"TMPDIR": str(self.folder / "tmp"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        if self.run.kind == "tool" and name == self.run.victim:
            more["PATH"] = f"{self._tool()}:{os.environ['PATH']}"
        daemon = Daemon(
            self.folder, name, free_port(), {}, SMARTDOMAINS_LVM="recorded",
            SMARTDOMAINS_PING_TIMEOUT_S="5", **more,
        )  # fmt: skip
        for_daemon(authority_folder(), daemon.port)
        return daemon

    def _tool(self) -> Path:
        programs = self.folder.parent / f"{self.folder.name}.bin"
        programs.mkdir()
        program = programs / self.run.place
        path = os.environ["PATH"]
        text = KILLED.format(
            mark=self.mark, folder=self.folder, path=f"{path}:/usr/sbin:/sbin", name=self.run.place
        )
        program.write_text(text)
        program.chmod(0o755)
        return programs

    @contextlib.contextmanager
    def up(self) -> Iterator[Client]:
        """Run the daemons, the victim as planned; everything is stopped in the end."""
        for name in ("tmp", "cache", "saved"):
            (self.folder / name).mkdir(parents=True)
        client = self.daemons["one"].client()
        try:
            for name, daemon in self.daemons.items():
                plans = self.run.plans(self.release) if name == self.run.victim else None
                daemon.start(sabotage=plans)
            yield client
        finally:
            self.release.touch()
            client.close()
            for daemon in self.daemons.values():
                daemon.stop()

    @property
    def struck(self) -> bool:
        """Say whether the fault has come about."""
        log = self.daemons[self.run.victim].log
        return self.mark.exists() or STRUCK in log.read_text(errors="replace")

    def wait_for(self, begin: Callable[[], Operation]) -> str:
        """Carry an operation through, over a crash of the victim; return what failed, if anything."""
        victim = self.daemons[self.run.victim]
        operation = begin()
        for _ in range(3):
            try:
                while operation._answer is None:
                    operation._poll(0.2)
                    self._revive(victim)
                operation.result()
            except DaemonUnreachable:
                if not self._revive(victim):
                    return "the daemon does not answer"
            except EngineError as error:
                return str(error)
            else:
                return ""
        return "the daemon died again and again"

    def _revive(self, victim: Daemon) -> bool:
        """Start the victim again if it has been killed."""
        process = victim.process
        if process is None or not self.run.kind.startswith("kill"):
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.3 if self.struck else 0.01)
        if process.poll() is None:
            return False
        victim.reap()
        victim.start()
        return True

    def left(self, allowed: tuple[str, ...]) -> str:
        """Have the machine looked at from outside until nothing is left, or time is up."""
        words = [
            sys.executable, str(OUTSIDE), str(self.folder), "--hypervisor", self.places.uri,
            "--prefix", f"{self.run.prefix}-", "--address", self.run.address,
            "--devices", f"sd{self.run.prefix}",
        ]  # fmt: skip
        for pattern in allowed:
            words += ["--allow", pattern]
        end = time.monotonic() + CLEAN_S
        while True:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=90)
            found = done.stdout.strip() + done.stderr.strip()
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.3)

    def held(self) -> str:
        """Wait until no daemon holds or remembers anything of the pool."""
        end = time.monotonic() + CLEAN_S
        while True:
            seen = {name: self._facts(daemon) for name, daemon in self.daemons.items()}
            if all(facts == ("0", "0", "0") for facts in seen.values()):
                return ""
            if time.monotonic() > end:
                return f"components, effects and segments held: {seen}"
            time.sleep(0.1)

    def _facts(self, daemon: Daemon) -> tuple[str, ...]:
        with contextlib.closing(daemon.client()) as client:
            facts = dict(client.diagnosis().facts)
        return tuple(facts[name] for name in ("components", "ledger_effects", "ledger_segments"))


def carry_out(run: Run, places: Places, folder: Path) -> Outcome:
    """Carry one run out in a folder of its own, which is made."""
    began = time.monotonic()
    stage = _Stage(run, places, folder)
    root = sfdl.compile(run.text.replace(SAVED, str(folder / "saved"))).root
    application = run.prefix
    troubles = []
    with stage.up() as client:

        def end() -> str:
            return stage.wait_for(lambda: client.terminate(application, Record.normal()))

        failed = stage.wait_for(lambda: client.start(application, root))
        started = not failed
        if not started and not stage.struck:
            troubles.append(f"failed without a fault: {failed}")
        if not started:
            stage.release.touch()
        ended = end()
        stage.release.touch()
        if started and ended and not stage.struck:
            troubles.append(f"cannot be ended: {ended}")
        allowed = (*STORE, *RESULTS, *(VOLUMES if run.keeps and started else ()))
        struck = stage.struck
        troubles.append(stage.left(allowed))
        troubles.append(stage.held())
        if run.again and not any(troubles):
            failed = stage.wait_for(lambda: client.start(application, root))
            if failed:
                troubles.append(f"does not start again: {failed}")
            end()
            troubles.append(stage.left((*STORE, *RESULTS, *(VOLUMES if run.keeps else ()))))
    trouble = "\n".join(each for each in troubles if each)
    return Outcome(struck, started, trouble, time.monotonic() - began)
