"""Who is at the other end: what a certificate says in our own terms.

Kind, roles and name patterns stand in a certificate as URIs among its alternative names, so that the
`ssl` module alone can read them.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from msgspec import Struct

from engine.core.faults import NotAllowed

URN = "urn:smartdomains:"


class Role(Enum):
    """What a certificate lets its holder do; `rights` says what that is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    PEER = "peer"


class Caller(Struct, frozen=True):
    """Somebody who talks to a process.

    Attributes:
        name: As the certificate says.
        kind: `daemon` or `client`.
        roles: What it may do.
        names: Patterns of application names an operator is limited to; empty for no limit.
        serial: Number of its certificate, hexadecimal; empty without one.
        private: Whether it came over TLS.
        address: Where the connection comes from.
    """

    name: str
    kind: str
    roles: frozenset[Role]
    names: tuple[str, ...] = ()
    serial: str = ""
    private: bool = True
    address: str = ""

    @property
    def peer(self) -> bool:
        """Say whether it is a daemon of the community."""
        return Role.PEER in self.roles


class Certificate(Struct, frozen=True):
    """What stands in a certificate.

    Attributes:
        hosts: Names and addresses it is good for, in its own order.
        expires: As text, such as `Jan  5 09:34:43 2027 GMT`.
    """

    name: str
    kind: str
    roles: frozenset[Role]
    names: tuple[str, ...]
    hosts: tuple[str, ...]
    serial: str
    expires: str

    @property
    def expires_s(self) -> float:
        """Return when it expires, wall-clock seconds since 1970."""
        return float(ssl.cert_time_to_seconds(self.expires))


class Expiry(Struct, frozen=True):
    """Until when a certificate in use is good.

    Attributes:
        what: `daemon`, `client` or `authority`.
        expires_s: Wall-clock seconds since 1970.
    """

    what: str
    name: str
    file: str
    expires_s: float


ANYBODY = Caller("anybody", "client", frozenset(Role), private=False)
"""Whoever talks to a process that was told to do without certificates."""


def uris(kind: str, roles: Iterable[Role], names: Sequence[str]) -> list[str]:
    """Return the URIs by which a certificate says what its holder is.

    Example:
        >>> uris("client", [Role.OPERATOR], ["web-*"])[1:]
        ['urn:smartdomains:role:operator', 'urn:smartdomains:name:web-%2A']
    """
    from urllib.parse import quote  # noqa: PLC0415 - not for ordinary commands

    found = [f"{URN}kind:{kind}"]
    found += sorted(f"{URN}role:{role.value}" for role in roles)
    return found + [f"{URN}name:{quote(name, safe='')}" for name in names]


def certificate_of(decoded: Mapping[str, Any]) -> Certificate:
    """Read a certificate as `SSLSocket.getpeercert` decodes it.

    Raises:
        NotAllowed: It was not issued for this purpose.

    Example:
        >>> alt = [("DNS", "n7"), ("URI", "urn:smartdomains:kind:daemon")]
        >>> certificate_of({"subjectAltName": alt, "serialNumber": "0A"}).hosts
        ('n7',)
    """
    from urllib.parse import unquote  # noqa: PLC0415 - not for ordinary commands

    subject = {key: value for pairs in decoded.get("subject", ()) for key, value in pairs}
    name = str(subject.get("commonName", ""))
    hosts: list[str] = []
    said: dict[str, list[str]] = {"kind": [], "role": [], "name": []}
    for sort, text in decoded.get("subjectAltName", ()):
        if sort in {"DNS", "IP Address"}:
            hosts.append(_plainly(text))
        elif sort == "URI" and text.startswith(URN):
            word, _, value = text.removeprefix(URN).partition(":")
            said.setdefault(word, []).append(unquote(value))
    kinds = said["kind"]
    if len(kinds) != 1 or kinds[0] not in {"daemon", "client"}:
        raise NotAllowed(
            f"the certificate of {name or 'somebody'} says neither daemon nor client",
            code="SF-SEC-002", hint="issue one with: sfca issue client NAME",
        )  # fmt: skip
    known = {role.value: role for role in Role}
    return Certificate(
        name, kinds[0], frozenset(known[text] for text in said["role"] if text in known),
        tuple(said["name"]), tuple(hosts), str(decoded.get("serialNumber", "")),
        str(decoded.get("notAfter", "")),
    )  # fmt: skip


def _plainly(text: str) -> str:
    """Write an address as people do: OpenSSL spells out IPv6."""
    if text.count(":") != 7:
        return str(text)
    import ipaddress  # noqa: PLC0415 - only for IPv6

    return str(ipaddress.ip_address(text))


def caller_of(decoded: Mapping[str, Any], address: str) -> Caller:
    """Return who shows this certificate.

    A daemon's certificate makes a peer, and nothing but a daemon's does.

    Raises:
        NotAllowed: It was not issued for this purpose, or carries no role.
    """
    own = certificate_of(decoded)
    roles = own.roles - {Role.PEER} | ({Role.PEER} if own.kind == "daemon" else set())
    if not roles:
        raise NotAllowed(
            f"the certificate of {own.name} carries no role", code="SF-SEC-002",
            hint="issue one with: sfca issue client NAME --roles viewer",
        )  # fmt: skip
    return Caller(own.name, own.kind, roles, own.names, own.serial, address=address)


def read_certificate(file: Path) -> Certificate:
    """Read a certificate file.

    Raises:
        NotAllowed: It cannot be read, or was not issued for this purpose.
    """
    return certificate_of(_decoded(file))


def read_expiry(what: str, file: Path) -> Expiry:
    """Read until when a certificate is good, be it an authority's.

    Raises:
        NotAllowed: It cannot be read.
    """
    decoded = _decoded(file)
    subject = {key: value for pairs in decoded.get("subject", ()) for key, value in pairs}
    expires_s = float(ssl.cert_time_to_seconds(str(decoded["notAfter"])))
    return Expiry(what, str(subject.get("commonName", "")), str(file), expires_s)


def _decoded(file: Path) -> Mapping[str, Any]:
    try:
        decoded: Mapping[str, Any] = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined] # noqa: SLF001 - the library that could takes 0.1 s to load
    except (OSError, ssl.SSLError) as error:
        raise NotAllowed(
            f"{file} is no certificate we can read: {error}", code="SF-SEC-001"
        ) from error
    return decoded
