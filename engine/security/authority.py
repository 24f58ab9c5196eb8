"""The authority of a community: certificates issued, renewed and revoked, in one folder.

The folder holds `ca.pem` with `ca.key`, the revocation list `crl.pem`, and for each certificate
`KIND-NAME.pem` with its key; earlier ones of the same name are in `old/`. Files come into being whole
or not at all, keys readable by their owner only. Importing this module loads the cryptography library.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import ipaddress
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from engine.core.faults import NameInUse, NotFound, Refused
from engine.security.files import write_whole
from engine.security.identity import Certificate, Role, read_certificate, uris

AUTHORITY_DAYS = 3650
DAYS = 365
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
_EARLIER = dt.timedelta(minutes=5)
"""Certificates are valid from a little earlier than now: clocks differ."""


class Issued(Struct, frozen=True):
    """A certificate in the authority's folder.

    Attributes:
        state: `valid`, `expired` or `revoked`.
        file: Where it lies; its key is beside it.
    """

    certificate: Certificate
    state: str
    file: Path


class Authority:
    """One authority, in its folder."""

    def __init__(self, folder: Path) -> None:
        """Open an authority made by `create`.

        Raises:
            NotFound: There is none in that folder.
        """
        self.folder = folder
        if not (folder / "ca.pem").exists():
            raise NotFound(
                f"there is no authority in {folder}", code="SF-CA-001", hint="make one: sfca init"
            )

    @classmethod
    def create(cls, folder: Path, name: str = "smartdomains") -> Authority:
        """Make a new authority.

        Raises:
            NameInUse: There is one in that folder already.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(folder):
            if (folder / "ca.pem").exists():
                raise NameInUse(f"there is an authority in {folder} already", code="SF-CA-002")
            key = ec.generate_private_key(ec.SECP256R1())
            now = _now()
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
            certificate = (
                _builder(subject, subject, key.public_key(), key, now, AUTHORITY_DAYS)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(authority=True), critical=True)
                .sign(key, hashes.SHA256())
            )
            _write_key(folder / "ca.key", key)
            _write_list(folder, certificate, key, [], now)
            write_whole(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder)

    def issue(
        self, kind: str, name: str, *, hosts: Sequence[str] = (), roles: Sequence[Role] = (),
        names: Sequence[str] = (), days: int = DAYS,
    ) -> Issued:  # fmt: skip
        """Issue a certificate with a new key.

        Args:
            kind: `daemon` or `client`.
            name: Who it is for.
            hosts: Names and addresses a daemon answers at; others reach it by the first one.
            roles: What a client may do; a daemon is a peer whatever it says.
            names: Patterns of application names an operator is limited to.
            days: How long it is valid.

        Raises:
            NameInUse: That name has a certificate.
            Refused: The name, a host or the days are none.
        """
        _check(kind, name, hosts, roles, names, days)
        with _alone(self.folder):
            file = self._file(kind, name)
            if file.exists():
                raise NameInUse(
                    f"{name} has a certificate already: {file}", code="SF-CA-003",
                    hint=f"sfca renew {name}, or sfca revoke {name} first",
                )  # fmt: skip
            return self._issue(file, kind, name, hosts, roles, names, days)

    def _issue(
        self, file: Path, kind: str, name: str, hosts: Sequence[str], roles: Sequence[Role],
        names: Sequence[str], days: int,
    ) -> Issued:  # fmt: skip
        authority, signer = self._signer()
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        roles = [Role.PEER] if kind == "daemon" else roles
        alternatives: list[x509.GeneralName] = [_general(host) for host in hosts]
        alternatives += [x509.UniformResourceIdentifier(uri) for uri in uris(kind, roles, names)]
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if kind == "daemon":
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = _builder(subject, authority.subject, key.public_key(), signer, _now(), days)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(signer, hashes.SHA256())
        )
        _write_key(file.with_suffix(".key"), key)
        write_whole(file, certificate.public_bytes(serialization.Encoding.PEM))
        return Issued(read_certificate(file), "valid", file)

    def renew(self, name: str, *, hosts: Sequence[str] = (), days: int = DAYS) -> Issued:
        """Issue a certificate like the one that name has, with a new key; the old one runs out.

        With `hosts`, the new one is good for these instead.

        Raises:
            NotFound: That name has none.
        """
        file = self._find(name)
        old = read_certificate(file)
        hosts = hosts or old.hosts
        _check(old.kind, name, hosts, list(old.roles), old.names, days)
        with _alone(self.folder):
            self._shelve(file, old)
            return self._issue(file, old.kind, name, hosts, list(old.roles), old.names, days)

    def revoke(self, name: str) -> list[Issued]:
        """Put all certificates a name was ever given on the revocation list.

        Raises:
            NotFound: That name has none.
        """
        file = self._find(name)
        with _alone(self.folder):
            self._shelve(file, read_certificate(file))
            authority, signer = self._signer()
            now = _now()
            found = [each for each in self.issued() if each.certificate.name == name]
            kind = file.name.partition("-")[0]
            gone = [each for each in found if each.certificate.kind == kind]
            entries = list(self._revoked())
            listed = {entry.serial_number for entry in entries}
            entries += [
                x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
                for number in (int(each.certificate.serial, 16) for each in gone)
                if number not in listed
            ]
            _write_list(self.folder, authority, signer, entries, now)
        return gone

    def issued(self) -> list[Issued]:
        """Return all certificates ever issued here, by name, the latest of a name first."""
        revoked = {entry.serial_number for entry in self._revoked()}
        found = []
        for file in [*self.folder.glob("*-*.pem"), *self.folder.glob("old/*-*.pem")]:
            certificate = read_certificate(file)
            state = "valid"
            if certificate.expires_s < _now().timestamp():
                state = "expired"
            if int(certificate.serial, 16) in revoked:
                state = "revoked"
            found.append(Issued(certificate, state, file))
        return sorted(found, key=lambda each: (each.certificate.name, -each.certificate.expires_s))

    def _revoked(self) -> Iterator[x509.RevokedCertificate]:
        yield from x509.load_pem_x509_crl((self.folder / "crl.pem").read_bytes())

    def _signer(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        certificate = x509.load_pem_x509_certificate((self.folder / "ca.pem").read_bytes())
        try:
            data = (self.folder / "ca.key").read_bytes()
        except OSError as error:
            raise Refused(
                f"{self.folder / 'ca.key'}: {error.strerror}", code="SF-CA-004"
            ) from error
        key = serialization.load_pem_private_key(data, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Refused("the authority's key is of another kind", code="SF-CA-004")
        return certificate, key

    def _file(self, kind: str, name: str) -> Path:
        return self.folder / f"{kind}-{name}.pem"

    def _find(self, name: str) -> Path:
        files = [self._file(kind, name) for kind in ("daemon", "client")]
        for file in files:
            if file.exists():
                return file
        raise NotFound(
            f"{name} has no certificate in {self.folder}", code="SF-CA-005",
            hint="sfca list shows who has",
        )  # fmt: skip

    def _shelve(self, file: Path, old: Certificate) -> None:
        shelf = self.folder / "old"
        shelf.mkdir(exist_ok=True, mode=0o700)
        file.with_suffix(".key").unlink(missing_ok=True)
        file.rename(shelf / f"{file.stem}-{old.serial}.pem")


def _check(
    kind: str, name: str, hosts: Sequence[str], roles: Sequence[Role], names: Sequence[str],
    days: int,
) -> None:  # fmt: skip
    def refuse(text: str, hint: str = "") -> None:
        raise Refused(text, code="SF-CA-006", hint=hint)

    if kind not in {"daemon", "client"}:
        refuse(f"{kind!r} is neither daemon nor client")
    if not _NAME.fullmatch(name):
        refuse(f"{name!r} is no name for a certificate", "letters, digits, and . _ @ - inside")
    if kind == "daemon" and not hosts:
        refuse("a daemon's certificate needs the names it is reached by", "add: --hosts node7")
    if kind == "client" and not roles:
        refuse("a client's certificate needs a role", "add: --roles viewer")
    if kind == "client" and Role.PEER in roles:
        refuse("only daemons are peers", "sfca issue daemon NAME --hosts ...")
    if names and not set(roles) & {Role.OPERATOR}:
        refuse("names limit an operator only", "add: --roles operator")
    if not 0 < days <= AUTHORITY_DAYS:
        refuse(f"{days} days: at least 1, at most {AUTHORITY_DAYS}")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey, now: dt.datetime, days: int,
) -> x509.CertificateBuilder:  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", host):
        raise Refused(f"{host!r} is neither a host name nor an address", code="SF-CA-006")
    return x509.DNSName(host)


def _write_list(
    folder: Path, authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey,
    entries: Sequence[x509.RevokedCertificate], now: dt.datetime,
) -> None:  # fmt: skip
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now - _EARLIER)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    signed = builder.sign(signer, hashes.SHA256())
    write_whole(folder / "crl.pem", signed.public_bytes(serialization.Encoding.PEM))


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )  # fmt: skip
    write_whole(file, data, 0o600)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against other writers."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
