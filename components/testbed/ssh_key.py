"""A private key of SSH for tests, another one at each call."""

from __future__ import annotations

import tempfile
from pathlib import Path

from components.testbed.tools import run


def new_ssh_key(kind: str = "ed25519", passphrase: str = "") -> str:
    """Have `ssh-keygen` make a key, and return its text."""
    with tempfile.TemporaryDirectory(prefix="ssh-key-") as folder:
        file = Path(folder) / "key"
        given = ("-t", kind, "-N", passphrase, "-C", "", "-f", str(file))
        run(("ssh-keygen", "-q", *given))
        return file.read_text("utf-8")
