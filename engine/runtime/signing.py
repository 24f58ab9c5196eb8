"""Descriptions that must be signed, where a daemon's settings ask for it."""

from __future__ import annotations

from engine.security import signatures
from engine.settings import Settings
from sfdl.values import Description


def check_signed(settings: Settings, signature: str, tree: Description | None) -> None:
    """Check that somebody we believe has signed what is handed in, if that is asked for.

    Args:
        settings: Of this process.
        signature: As it came along; empty for none.
        tree: What a user hands in; nothing for a part, whose whole is not here.

    Raises:
        NotAllowed: The signature is missing, for another description, or of nobody we believe.
    """
    if not settings.require_signed_descriptions:
        return
    digest = None
    if tree is not None:
        from sfdl.canonical import digest as digest_of  # noqa: PLC0415 - slow to load, rarely needed

        digest = digest_of(tree)
    signatures.check(signature, settings.description_keys, digest)
