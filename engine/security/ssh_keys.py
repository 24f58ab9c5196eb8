"""What a private key of SSH is, and the public key that goes with it."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

_KINDS = {Ed25519PrivateKey: "ed25519", EllipticCurvePrivateKey: "ecdsa", RSAPrivateKey: "rsa"}


def public_of(private: str) -> tuple[str, str]:
    """Return the kind of a key, `ed25519`, `ecdsa` or `rsa`, and its public key as one line.

    Args:
        private: In the form of OpenSSH, without a passphrase.

    Raises:
        ValueError: It is none, has a passphrase, or is of a kind that sshd does not take any more.
    """
    try:
        key = load_ssh_private_key(private.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError from None
    for form, kind in _KINDS.items():
        if isinstance(key, form):
            public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            return kind, public.decode()
    raise ValueError
