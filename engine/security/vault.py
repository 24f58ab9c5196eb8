"""What must not be read from a file by others: sealed with a key that stays on the machine.

AES-256-GCM; the key is a file of its own in the daemon's state folder. The cryptography library is
loaded when something is sealed or opened for the first time.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from engine.core.faults import Refused
from engine.security.files import check_key, write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK = b"\xc1sealed1"
"""Begins what is sealed: no msgpack begins with that byte."""
NONCE = 12


class Vault:
    """Seals and opens the secrets of one process."""

    def __init__(self, key: Path | None) -> None:
        """Take the file of the key, made when first needed; without one it is never written."""
        self._file = key
        self._cipher: AESGCM | None = None
        self._lock = threading.Lock()  # the loop seals, and the ledger's thread does

    def seal(self, data: bytes) -> bytes:
        """Return the data so that only this vault can read it."""
        nonce = os.urandom(NONCE)
        return MARK + nonce + self._key().encrypt(nonce, data, MARK)

    def open(self, data: bytes) -> bytes:
        """Return what was sealed; what never was is returned as it is.

        Raises:
            Refused: It was sealed with another key, or was changed.
        """
        if not data.startswith(MARK):
            return data
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - slow to load

        rest = data[len(MARK) :]
        try:
            return self._key().decrypt(rest[:NONCE], rest[NONCE:], MARK)
        except InvalidTag as error:
            raise Refused(
                f"secrets in the ledger were sealed with another key than {self._file}",
                code="SF-SEC-012", hint="put the key back that belongs to this ledger",
            ) from error  # fmt: skip

    def _key(self) -> AESGCM:
        with self._lock:
            if self._cipher is None:
                from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - slow
                    AESGCM,
                )

                self._cipher = AESGCM(self._secret())
            return self._cipher

    def _secret(self) -> bytes:
        if self._file is None:
            return os.urandom(32)
        if self._file.exists():
            check_key(self._file)
            return self._file.read_bytes()
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = os.urandom(32)
        write_whole(self._file, secret, 0o600)
        return secret
