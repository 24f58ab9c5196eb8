"""A channel to something a component offers, such as a guest's console, from a program's side.

Reading waits on a connection of its own, so that what is typed never waits behind it.
"""

from __future__ import annotations

import contextlib
import os

from engine.client.client import Client
from engine.core.faults import EngineError
from engine.wire.messages import CloseChannel, FeedChannel, OpenChannel, PullChannel

WAIT_S = 10.0
"""Seconds of one wait for more."""
PIECE = 2**16


class Channel:
    """An open channel; one thread may read while another one writes."""

    def __init__(self, reading: Client, writing: Client, ref: str, name: str) -> None:
        """Open it.

        Args:
            reading: For reading only.
            writing: For everything else.
            ref: The component.
            name: What it offers.

        Raises:
            EngineError: There is no such component, or it does not give that now.
        """
        self._reading, self._writing = reading, writing
        self._id = os.urandom(16).hex()
        self._taken = 0
        self._sent = 0
        self.ended = ""
        writing.channel(OpenChannel(self._id, name, ref=ref))

    def read(self) -> bytes:
        """Wait a while for what comes; nothing if nothing did. Once `ended` says so, nothing will.

        Raises:
            EngineError: The daemon does not answer, or the channel is gone.
        """
        got = self._reading.channel(PullChannel(self._id, self._taken, int(WAIT_S * 1000)), WAIT_S)
        self._taken = got.at + len(got.data)
        self.ended = got.ended
        return got.data

    def write(self, data: bytes) -> None:
        """Send bytes; what was sent is not sent twice, should an answer be lost.

        Raises:
            EngineError: They could not be sent.
        """
        for first in range(0, len(data), PIECE):
            piece = data[first : first + PIECE]
            got = self._writing.channel(FeedChannel(self._id, self._sent, piece))
            self._sent = got.fed

    def close(self) -> None:
        """Close it, and the connections; a read under way ends."""
        with contextlib.suppress(EngineError):
            self._writing.channel(CloseChannel(self._id))
        self._writing.close()
