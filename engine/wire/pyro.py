"""Pyro5, set up the one way we use it.

Pyro5 is transport only: one object called `node` with five verbs of bytes. Its defaults do not suit
daemons, so `configure` replaces them; environment variables are not obeyed. What arrives is read by a
decoder that knows the few shapes we use and makes no objects; compressed, batched and one-way messages
are refused. The table entries of other decoders stay, since Pyro's own error path looks one of them up.

TLS is ours: Pyro asks `_context` for the context of a connection it makes, and listens in plain; the
server turns what it accepts into TLS in the connection's own thread (see `server`).
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import msgpack
import Pyro5.configure
import Pyro5.errors
import Pyro5.protocol
import Pyro5.serializers
import Pyro5.socketutil
from typing_extensions import override

OBJECT = "node"
VERBS = ("hello", "submit", "read", "beat", "stream")
MOST_BYTES = 16 * 2**20
IDLE_S = 30.0
THREADS = 1024

_lock = threading.Lock()
_done = False
_dialling = threading.local()


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


class _Plain(Pyro5.serializers.MsgpackSerializer):  # type: ignore[misc] # Pyro5 has no types
    """Decodes calls of our verbs, answers and greetings; never an object."""

    @override
    def loads(self, data: bytes) -> object:
        """Decode a greeting or an answer; an error of the other side's Pyro is raised as one."""
        found = _unpack(data)
        if isinstance(found, dict) and found.get("__exception__"):
            return Pyro5.errors.ProtocolError(f"{found.get('__class__')}: {found.get('args')}")
        return found

    @override
    def loadsCall(self, data: bytes) -> tuple[str, str, list[bytes], dict[str, object]]:
        """Decode a call; anything but one of our verbs with one message is refused."""
        match _unpack(data):
            case [object_, verb, [bytes() as message], {**rest}] if (
                object_ == OBJECT and verb in VERBS and not rest
            ):
                return OBJECT, verb, [message], {}
        raise Pyro5.errors.ProtocolError("not a call of ours")


def _unpack(data: bytes) -> object:
    try:
        return msgpack.unpackb(
            data, raw=False, max_array_len=64, max_map_len=64, max_ext_len=0,
            max_bin_len=MOST_BYTES, max_str_len=65536,
        )  # fmt: skip
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Pyro5.errors.ProtocolError(f"not understood: {error}") from None


class _Message(Pyro5.protocol.ReceivingMessage):  # type: ignore[misc] # Pyro5 has no types
    """A message that arrives; what we never send is refused before its payload is read."""

    __slots__ = ()
    FORBIDDEN = (
        Pyro5.protocol.FLAGS_COMPRESSED
        | Pyro5.protocol.FLAGS_ONEWAY
        | Pyro5.protocol.FLAGS_BATCH
        | Pyro5.protocol.FLAGS_KEEPSERIALIZED
        | Pyro5.protocol.FLAGS_ITEMSTREAMRESULT
    )

    def __init__(self, header: bytes, payload: bytes | None = None) -> None:
        super().__init__(header, payload)
        if self.flags & self.FORBIDDEN or self.annotations_size:
            raise Pyro5.errors.ProtocolError("a message of a form that is not accepted")


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
        config.SSL = True  # so that the context of a connection is asked for
        Pyro5.socketutil.get_ssl_context = _context
        Pyro5.protocol.ReceivingMessage = _Message
        for name in ("marshal", "serpent", "json"):
            serializer = Pyro5.serializers.serializers[name]
            refusing = type(f"Refusing{name}", (_Refusing, type(serializer)), {})()
            _replace(name, refusing)
        _replace("msgpack", _Plain())
        # In what Pyro refuses a caller whose greeting it has not read.
        Pyro5.serializers.MarshalSerializer.serializer_id = _Plain.serializer_id
        _done = True


def _replace(name: str, serializer: Pyro5.serializers.SerializerBase) -> None:
    Pyro5.serializers.serializers[name] = serializer
    Pyro5.serializers.serializers_by_id[serializer.serializer_id] = serializer


@contextmanager
def dialling(context: ssl.SSLContext | None) -> Iterator[None]:
    """Have connections that this thread makes inside use a TLS context, or none."""
    _dialling.context = context
    try:
        yield
    finally:
        _dialling.context = None


def _context(**files: object) -> ssl.SSLContext | None:
    """Stand in for Pyro's own maker of contexts, which believes the system's authorities too."""
    return None if "servercert" in files else getattr(_dialling, "context", None)
