"""TLS made of files: both directions, one authority, nothing older than TLS 1.3.

The files are looked at again whenever a connection is made, so that a renewed certificate or a longer
revocation list counts at once.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from engine.core.faults import NotAllowed
from engine.security.files import check_key
from engine.security.identity import Certificate, read_certificate


class Credentials(Struct, frozen=True):
    """Files that say who we are and whom we believe.

    Attributes:
        cert: Our certificate, PEM.
        key: Its key, readable by its owner only.
        ca: Certificate of the one authority we believe.
        crl: Its revocation list; one that is not there is not asked for.
    """

    cert: Path
    key: Path
    ca: Path
    crl: Path

    @classmethod
    def of(cls, cert: str, key: str, ca: str, crl: str = "") -> Credentials:
        """Take the files' names; without one the revocation list is looked for beside the authority."""
        beside = Path(ca).with_name("crl.pem")
        return cls(Path(cert), Path(key), Path(ca), Path(crl) if crl else beside)


class Contexts:
    """The TLS contexts made of one set of credentials.

    Once made, they are replaced only by good ones: a list that is half written, or gone, leaves the
    one before it in force.

    Attributes:
        trouble: Why files that have changed are not in use, or empty.
    """

    def __init__(self, files: Credentials) -> None:
        """Take the files and read them.

        Raises:
            NotAllowed: A file is missing, unfit, or a key that others can read.
        """
        self.files = files
        self.trouble = ""
        self._lock = threading.Lock()
        self._state = self._look()
        self._listed = files.crl.exists()
        self._made: dict[int, ssl.SSLContext] = {}
        self._made[ssl.PROTOCOL_TLS_CLIENT] = self._context(ssl.PROTOCOL_TLS_CLIENT)

    @property
    def own(self) -> Certificate:
        """Return our own certificate."""
        return read_certificate(self.files.cert)

    def believed(self) -> object:
        """Return something that changes whenever the authority or its revocation list does."""
        return _seen(self.files.ca), _seen(self.files.crl)

    def server(self) -> ssl.SSLContext:
        """Return the context for those who come; a certificate of the authority is demanded."""
        return self._current(ssl.PROTOCOL_TLS_SERVER)

    def client(self) -> ssl.SSLContext:
        """Return the context for going to others, whose certificate must fit their address."""
        return self._current(ssl.PROTOCOL_TLS_CLIENT)

    def _look(self) -> object:
        return self.believed(), _seen(self.files.cert), _seen(self.files.key)

    def _current(self, protocol: int) -> ssl.SSLContext:
        with self._lock:
            state = self._look()
            if state != self._state:
                self._state = state
                try:
                    self._made = {each: self._context(each) for each in self._made}
                    self.trouble = ""
                except NotAllowed as error:
                    self.trouble = error.fault.message
            if protocol not in self._made:
                self._made[protocol] = self._context(protocol)
            return self._made[protocol]

    def _context(self, protocol: int) -> ssl.SSLContext:
        check_key(self.files.key)
        self._listed = self._listed or self.files.crl.exists()
        context = ssl.SSLContext(protocol)
        if protocol == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # every connection shows its certificate anew
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        files = self.files
        self._load(files.ca, lambda: context.load_verify_locations(files.ca))
        if self._listed:
            self._load(files.crl, lambda: context.load_verify_locations(files.crl))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        self._load(files.cert, lambda: context.load_cert_chain(files.cert, files.key))
        return context

    def _load(self, file: Path, load: Callable[[], None]) -> None:
        try:
            load()
        except (OSError, ssl.SSLError) as error:
            raise NotAllowed(
                f"{file} cannot be used: {error.strerror or error}", code="SF-SEC-001",
                hint="certificates are issued with: sfca issue",
            ) from error  # fmt: skip


def _seen(file: Path) -> object:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino, facts.st_size
