"""Pyro5, set up the one way we use it, and the server side of a process.

Pyro5 is transport only: one object called `node` with five verbs of bytes. Its defaults do not suit
daemons, so `configure` replaces them; environment variables are not obeyed. Decoders other than
msgpack are refused: their table entries stay, since Pyro's own error path looks one of them up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn

import Pyro5.api
import Pyro5.configure
import Pyro5.errors
import Pyro5.protocol
import Pyro5.serializers
import Pyro5.server

OBJECT = "node"
VERBS = ("hello", "submit", "read", "beat", "stream")
MOST_BYTES = 16 * 2**20
IDLE_S = 30.0
THREADS = 256

_lock = threading.Lock()
_done = False


class _Refusing:
    """Mixed into a serializer: encodes for Pyro's error path, decodes nothing."""

    def loads(self, data: bytes) -> NoReturn:
        """Refuse."""
        del data
        raise Pyro5.errors.ProtocolError("only msgpack is accepted")

    def loadsCall(self, data: bytes) -> NoReturn:  # noqa: N802 - Pyro's name
        """Refuse."""
        del data
        raise Pyro5.errors.ProtocolError("only msgpack is accepted")


def configure() -> None:
    """Set Pyro5 up for this program; harmless when repeated."""
    global _done  # noqa: PLW0603 - Pyro's configuration is one per process as well
    with _lock:
        if _done:
            return
        config = Pyro5.configure.global_config
        config.reset(use_environment=False)
        config.SERIALIZER = "msgpack"
        config.SOCK_NODELAY = True
        config.COMMTIMEOUT = IDLE_S
        config.THREADPOOL_SIZE = THREADS
        config.MAX_MESSAGE_SIZE = MOST_BYTES + 4096
        config.MAX_RETRIES = 0
        config.DETAILED_TRACEBACK = False
        for name in ("marshal", "serpent", "json"):
            serializer = Pyro5.serializers.serializers[name]
            refusing = type(f"Refusing{name}", (_Refusing, type(serializer)), {})()
            Pyro5.serializers.serializers[name] = refusing
            Pyro5.serializers.serializers_by_id[serializer.serializer_id] = refusing
        _done = True


class _Node:
    """The one exposed object: five verbs, bytes in and out."""

    def __init__(self, handle: Callable[[str, bytes], bytes]) -> None:
        self._handle = handle

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def hello(self, message: bytes) -> bytes:
        return self._handle("hello", message)

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def submit(self, message: bytes) -> bytes:
        return self._handle("submit", message)

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def read(self, message: bytes) -> bytes:
        return self._handle("read", message)

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def beat(self, message: bytes) -> bytes:
        return self._handle("beat", message)

    @Pyro5.api.expose  # type: ignore[untyped-decorator] # Pyro5 has no types
    def stream(self, message: bytes) -> bytes:
        return self._handle("stream", message)


class NodeServer:
    """Listens for peers and clients; each connection has a thread, each message goes to `handle`."""

    def __init__(self, host: str, port: int, handle: Callable[[str, bytes], bytes]) -> None:
        """Bind the port.

        Raises:
            OSError: The address is in use or not ours.
        """
        configure()
        self._daemon: Any = Pyro5.server.Daemon(host=host, port=port)
        self._daemon.register(_Node(handle), objectId=OBJECT)
        self.port: int = self._daemon.sock.getsockname()[1]
        self._thread = threading.Thread(target=self._daemon.requestLoop, name="node", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port; waits at most a few seconds."""
        self._daemon.shutdown()
        self._thread.join(timeout=5)
