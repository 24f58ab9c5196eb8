"""Signed descriptions: Ed25519 over the digest of a description's canonical JSON.

A signature is text, `DIGEST:SIGNATURE`, so that it travels like any inherited value of a tree. Importing
this module is quick; the cryptography library is loaded when something is signed or checked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.core.faults import NotAllowed, Refused
from engine.security.files import check_key, write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_KIND = "ed25519:"


def make_key(file: Path) -> str:
    """Make a signing key in a new file, readable by its owner only; return the public half as text.

    Raises:
        Refused: The file is there already, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - slow to load
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - slow to load

    key = ed25519.Ed25519PrivateKey.generate()
    data = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    if file.exists():
        raise Refused(f"{file} is there already", code="SF-SIG-001", hint="choose another name")
    try:
        write_whole(file, data, 0o600)
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}", code="SF-SIG-001") from error
    raw = key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    return _KIND + base64.b64encode(raw).decode()


def sign(digest: str, key_file: Path) -> str:
    """Sign a digest with a key that `make_key` made.

    Raises:
        Refused: The file is no such key.
        NotAllowed: Others can read it.
    """
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - slow to load
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - slow to load

    check_key(key_file)
    try:
        key = form.load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise Refused(f"{key_file} is no signing key: {error}", code="SF-SIG-001") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise Refused(f"{key_file} is no Ed25519 key", code="SF-SIG-001")
    return f"{digest}:{base64.b64encode(key.sign(digest.encode())).decode()}"


def check(signature: str, keys: Iterable[str], digest: str | None = None) -> None:
    """Check a signature.

    Args:
        signature: As `sign` gave it; empty for none.
        keys: Public keys that are believed.
        digest: Of the description handed in; nothing for a part, whose whole is not here.

    Raises:
        NotAllowed: It is missing, for another description, or of no key that is believed.
    """
    hint = "sign it with: sfca sign DESCRIPTION --key KEY; then: sfstart --signature FILE"
    if not signature:
        raise NotAllowed("this daemon takes signed descriptions only", code="SF-SIG-002", hint=hint)
    signed, _, text = signature.partition(":")
    if digest is not None and signed != digest:
        raise NotAllowed(
            "the signature is for another description", code="SF-SIG-003",
            hint="sign it with the same includes and --set values as it is started with",
        )  # fmt: skip
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to load

    for key in keys:
        try:
            _public(key).verify(base64.b64decode(text, validate=True), signed.encode())
        except (InvalidSignature, binascii.Error):
            continue
        return
    raise NotAllowed(
        "no key that is believed here made that signature", code="SF-SIG-004", hint=hint
    )


def _public(text: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - slow to load

    try:
        raw = base64.b64decode(text.removeprefix(_KIND), validate=True)
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError) as error:
        raise Refused(
            f"description_keys: {text!r} is no public key", code="SF-SIG-001",
            hint="sfca keygen prints one",
        ) from error  # fmt: skip
