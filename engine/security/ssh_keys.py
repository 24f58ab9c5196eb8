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

_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_KINDS = {Ed25519PrivateKey: "ed25519", EllipticCurvePrivateKey: "ecdsa", RSAPrivateKey: "rsa"}


def pair_of(private: str) -> tuple[str, str, str]:
    """Return the kind of a key, `ed25519`, `ecdsa` or `rsa`, the text sshd reads, and the public key.

    Args:
        private: In the form of OpenSSH, without a passphrase; indented lines, other ends of lines and
            what stands before the key do no harm.

    Raises:
        ValueError: It is none, has a passphrase, or is of a kind that sshd does not take any more.
    """
    whole = "".join(f"{line.strip()}\n" for line in private.splitlines() if line.strip())
    whole = whole[max(0, whole.find(_BEGIN)) :]
    try:
        key = load_ssh_private_key(whole.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError from None
    for form, kind in _KINDS.items():
        if isinstance(key, form):
            public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            return kind, whole, public.decode()
    raise ValueError
