"""One connection to a process, and what goes wrong on the way there, in words."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import Pyro5.client
import Pyro5.errors

from engine.core.faults import Busy, EngineError, NotAllowed, Refused, TimedOut, Unreachable
from engine.security.contexts import Contexts
from engine.security.identity import certificate_of
from engine.wire.pyro import OBJECT, configure, dialling

Security = Callable[[], Contexts | None]
"""Gives what we go to others with; nothing means without TLS. Raises NotAllowed if there is none."""


class Channel:
    """One connection to a process, for one thread at a time; reconnects when it was dropped.

    Attributes:
        certificate: Name in the certificate that was shown there last; empty without TLS.
    """

    def __init__(self, address: str, security: Security) -> None:
        """Take `host:port` and what we go there with; nothing is connected yet."""
        configure()
        self.address = address
        self._security = security
        self._proxy: Any = None
        self.certificate = ""

    def call(self, verb: str, message: bytes, budget_s: float) -> bytes:
        """Send a message and wait for the answer.

        A connection that was idle may have been dropped by the other side, so a failure on a used
        connection is tried once more on a new one; every verb may safely be repeated.

        Raises:
            Unreachable: Nobody answers there, or the connection broke.
            TimedOut: No answer within `budget_s` seconds.
            NotAllowed: We are not let in there, or do not believe who answers.
            Busy: We have too many connections there.
            Refused: What answers is not a process of ours.
        """
        used = self._proxy is not None
        try:
            return self._send(verb, message, budget_s)
        except Unreachable:
            if not used:
                raise
            return self._send(verb, message, budget_s)

    def _send(self, verb: str, message: bytes, budget_s: float) -> bytes:
        until = time.monotonic() + budget_s
        if self._proxy is None:
            self._proxy = self._connected(budget_s)
        self._proxy._pyroTimeout = max(0.05, until - time.monotonic())  # noqa: SLF001 - Pyro's documented name
        try:
            answer: bytes = getattr(self._proxy, verb)(message)
        except (Pyro5.errors.PyroError, OSError, AttributeError) as error:
            self.close()
            raise _failure(self.address, error, budget_s) from error
        return answer

    def _connected(self, budget_s: float) -> object:
        context = self._context(budget_s)
        proxy: Any = Pyro5.client.Proxy(f"PYRO:{OBJECT}@{self.address}")
        proxy._pyroMaxRetries = 0  # noqa: SLF001 - Pyro's documented name
        proxy._pyroTimeout = max(0.05, budget_s)  # noqa: SLF001 - Pyro's documented name
        try:
            with dialling(context):
                proxy._pyroBind()  # noqa: SLF001 - Pyro's documented name
        except (Pyro5.errors.PyroError, OSError, AttributeError, TypeError, KeyError) as error:
            proxy._pyroRelease()  # noqa: SLF001 - Pyro's documented name
            raise _failure(self.address, error, budget_s, plain=context is None) from error
        if context is not None:
            shown = proxy._pyroConnection.sock.getpeercert()  # noqa: SLF001 - Pyro's own name
            self.certificate = certificate_of(shown).name
        return proxy

    def _context(self, budget_s: float) -> ssl.SSLContext | None:
        try:
            contexts = self._security()
        except NotAllowed:
            _knock(self.address, budget_s)
            raise
        return contexts.client() if contexts is not None else None

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._proxy is not None:
            self._proxy._pyroRelease()  # noqa: SLF001 - Pyro's documented name
            self._proxy = None


def _knock(address: str, budget_s: float) -> None:
    """Find out whether anybody listens at all: that comes before lacking a certificate.

    Raises:
        Unreachable: Nobody does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), budget_s).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _failure(
    address: str, error: BaseException, budget_s: float, *, plain: bool = False
) -> EngineError:
    """Turn what Pyro and TLS raise into a failure with a reason."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and len(chain) < 8:
        chain.append(cause)
    for each in chain:
        if isinstance(each, ssl.SSLError):
            return _tls_failure(address, each)
    if plain and isinstance(error, Pyro5.errors.ConnectionClosedError):
        return Refused(
            f"{address} hung up: it seems to speak TLS", code="SF-WIRE-001",
            hint="leave out --insecure",
        )  # fmt: skip
    text = str(error)
    refusal = _refusal(address, text)
    if refusal is not None:
        return refusal
    if "alert" in text.lower() and "ssl" in text.lower():
        return _alerted(address, text)
    if isinstance(error, Pyro5.errors.TimeoutError) or any(
        isinstance(each, TimeoutError) for each in chain
    ):
        return TimedOut(f"{address} did not answer within {budget_s:.1f} s")
    strange = (Pyro5.errors.ProtocolError, AttributeError, TypeError, KeyError)
    if isinstance(error, strange):
        return Refused(
            f"what answers at {address} is not a daemon of this protocol: {error}",
            code="SF-WIRE-001",
        )
    return _unreachable(address, error)


def _refusal(address: str, text: str) -> EngineError | None:
    """Read why the other side did not let us in, if it says so."""
    _, rejected, reason = text.partition("rejected: ")
    kind, _, words = reason.partition(": ")
    if rejected and kind in {"Busy", "NotAllowed"}:
        class_ = Busy if kind == "Busy" else NotAllowed
        return class_(f"{address} refused: {words}", code="SF-SEC-007")
    if rejected and "timeout" in reason.lower():  # nothing was asked for: asking again is safe
        return _unreachable(address, Unreachable("it did not read our greeting in time"))
    return None


def _tls_failure(address: str, error: ssl.SSLError) -> EngineError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotAllowed(
            f"what answers at {address} is not believed: {error.verify_message}",
            code="SF-SEC-009",
            hint="its certificate must be of our authority and name that address",
        )
    words = (error.reason or str(error)).lower().replace("_", " ")
    if "alert" in words:
        return _alerted(address, words)
    return Refused(
        f"what answers at {address} is not a daemon of this protocol: {words}",
        code="SF-WIRE-001",
        hint="a daemon that was started with --insecure is asked with --insecure",
    )


def _alerted(address: str, text: str) -> EngineError:
    """Name what the other side did not like about our certificate."""
    words = text.lower().replace("_", " ")
    known = {
        "certificate revoked": "our certificate was revoked",
        "certificate expired": "our certificate has expired",
        "unknown ca": "our certificate is of another authority",
        "certificate required": "no certificate was shown",
    }
    why = next(
        (said for alert, said in known.items() if alert in words), "our certificate is unfit"
    )
    return NotAllowed(
        f"{address} refused us: {why}", code="SF-SEC-009",
        hint="sfca list shows what was issued; --cert, --key and --ca name another certificate",
    )  # fmt: skip


def _unreachable(address: str, error: BaseException) -> Unreachable:
    cause = error.__cause__ or error
    text = str(cause)
    text = "connection refused" if "refused" in text.lower() else text or type(cause).__name__
    return Unreachable(f"{address} cannot be reached: {text}", code="SF-WIRE-002")
