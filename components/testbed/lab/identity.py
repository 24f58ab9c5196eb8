"""The identity of a host: what its daemon is told, and what lets commands speak to it.

Whatever proves who a host is belongs below its folder, and is named to its daemon here and nowhere
else. Without certificates so far: the network is the lab's own, which nobody else is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

PORT = 3800


def daemon_options(folder: Path, name: str) -> Sequence[str]:
    """Give the options of a host's daemon.

    Args:
        folder: The host's own folder.
        name: Its host name, which every host of the lab resolves.
    """
    return [
        *("--node", name, "--port", str(PORT), "--state-dir", str(folder / "state")),
        *("--bind", "0.0.0.0", "--advertise", name, "--insecure"),  # noqa: S104 - its own network
    ]


def command_environment(folder: Path) -> Mapping[str, str]:
    """Give the variables a command needs to speak to daemons as the lab's own user.

    Args:
        folder: The lab's folder.
    """
    del folder
    return {"SMARTDOMAINS_INSECURE": "1"}
