"""A document that an ensemble keeps for many: each change happens wholly or not at all."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    NoNodeError,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from components.coordination.line import stop
from engine.core.faults import Refused, Unreachable

WITHIN_S = 10.0
"""Seconds the ensemble has to answer."""
CHANGED_WITHIN_S, PAUSE_S = 60.0, 0.05
"""Seconds for a change among those of others, and at most between two tries."""
MOST_BYTES = 1_000_000
"""Size of the document at most: a ZooKeeper server takes no packet of more than a MiB."""
SESSION_S = 3.0
"""Length of the session, and of a wait for a server that does not greet; the document outlives both."""


class Book:
    """A document at a node of an ensemble. All of it blocks, and any thread may call it."""

    def __init__(self, servers: Sequence[str], node: str) -> None:
        """Name the node; the ensemble is asked when the document is first read.

        Args:
            servers: Of the ensemble, as `host:port`.
            node: Its absolute path.
        """
        self._servers = ",".join(servers)
        self._node = node
        self._client: KazooClient | None = None
        self._guard = threading.Lock()

    def read(self) -> bytes:
        """Return the document; nothing if there is none yet.

        Raises:
            Unreachable: The ensemble does not answer in time.
        """
        return self._read(time.monotonic() + WITHIN_S)[0]

    def change(self, edit: Callable[[bytes], bytes | None]) -> None:
        """Change the document.

        Args:
            edit: Says what it becomes, or nothing if it stays as it is. Called again if somebody else
                was quicker, and perhaps once more after its change was made, if that was not heard.

        Raises:
            Unreachable: The ensemble does not answer in time.
            Refused: It would become too large.
        """
        began_s = time.monotonic()
        while time.monotonic() < began_s + CHANGED_WITHIN_S:
            end_s = time.monotonic() + WITHIN_S
            data, version = self._read(end_s)
            new = edit(data)
            if new is None:
                return
            if len(new) > MOST_BYTES:
                raise Refused(
                    f"{self._node} would have {len(new)} bytes, and ZooKeeper takes {MOST_BYTES}",
                    code="SF-COORD-005",
                )  # fmt: skip
            try:
                if version is None:
                    self._ask(end_s, "ensure_path_async", self._node)
                    version = 0
                self._ask(end_s, "set_async", self._node, new, version=version)
            except (BadVersionError, NoNodeError):
                time.sleep(random.uniform(0, PAUSE_S))  # noqa: S311 - only not all at once
                continue
            return
        raise Unreachable(
            f"{self._node} is being changed by others all the time: no change got through within "
            f"{CHANGED_WITHIN_S:g} s",
            code="SF-COORD-006",
        )

    def close(self) -> None:
        """Let go of the ensemble; the next question connects again."""
        with self._guard:
            client, self._client = self._client, None
        if client is not None:
            stop(client, None)

    def _read(self, end_s: float) -> tuple[bytes, int | None]:
        """Return the document and its version; no version: the node is not there."""
        try:
            data, stat = self._ask(end_s, "get_async", self._node)
        except NoNodeError:
            return b"", None
        return data, stat.version

    def _ask(self, end_s: float, what: str, *data: object, **more: object) -> Any:
        while True:
            try:
                start = getattr(self._connected(end_s), what)
                return start(*data, **more).get(timeout=max(0.01, end_s - time.monotonic()))
            except KazooTimeoutError:
                break
            except (ConnectionLoss, ConnectionClosedError, SessionExpiredError):
                if time.monotonic() > end_s:
                    break
                time.sleep(0.05)
        raise Unreachable(
            f"no ZooKeeper server answers at {self._servers} within {WITHIN_S:g} s",
            code="SF-COORD-001",
        )

    def _connected(self, end_s: float) -> KazooClient:
        with self._guard:
            if self._client is None:
                client = KazooClient(
                    self._servers, timeout=SESSION_S,
                    connection_retry=KazooRetry(max_tries=-1, delay=0.05, backoff=1.5, max_delay=1.0),
                )  # fmt: skip
                try:
                    client.start(max(0.01, end_s - time.monotonic()))
                except BaseException:
                    stop(client, None)
                    raise
                self._client = client
            return self._client
