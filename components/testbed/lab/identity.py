"""The identity of hosts and of the lab's user: certificates of an authority that only this lab knows.

Whatever proves who a host is lies in one folder of the lab, and is named to its daemon here and
nowhere else.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

PORT = 3800
USER = "user"


def authority_folder(folder: Path) -> Path:
    """Return the folder of the lab's authority, with all its certificates: `sfca ... --dir` of it."""
    return folder / "ca"


def make_identities(folder: Path, addresses: Mapping[str, str]) -> None:
    """Make the authority, a certificate for each daemon, and one for the user, an administrator.

    Args:
        folder: The lab's folder.
        addresses: Address of each host, by its name.
    """
    from engine.security.authority import Authority  # noqa: PLC0415 - slow to import
    from engine.security.identity import Role  # noqa: PLC0415 - comes with it

    shutil.rmtree(authority_folder(folder), ignore_errors=True)  # of a lab that was half made
    authority = Authority.create(authority_folder(folder), "lab")
    for name, address in addresses.items():
        authority.issue("daemon", name, hosts=[name, address, "localhost", "127.0.0.1"])
    authority.issue("client", USER, roles=[Role.ADMIN])


def daemon_options(folder: Path, name: str) -> Sequence[str]:
    """Give the options of a host's daemon.

    Args:
        folder: The lab's folder.
        name: Its host name, which every host of the lab resolves.
    """
    return [
        *("--node", name, "--port", str(PORT), "--state-dir", str(folder / name / "state")),
        *(word for pair in _named(folder, f"daemon-{name}").items() for word in pair),
    ]


def command_environment(folder: Path, who: str = f"client-{USER}") -> Mapping[str, str]:
    """Give the variables a command needs to speak to daemons.

    Args:
        folder: The lab's folder.
        who: Kind and name of the certificate to use.
    """
    named = _named(folder, who)
    return {f"SMARTDOMAINS_{option[2:].upper()}": file for option, file in named.items()}


def identity_files(folder: Path, name: str) -> Sequence[Path]:
    """Give the files that a host needs a copy of if it does not see the lab's folder.

    Args:
        folder: The lab's folder.
        name: Its host name.
    """
    whose = (f"daemon-{name}", f"client-{USER}")
    return [Path(file) for who in whose for file in _named(folder, who).values()]


def _named(folder: Path, who: str) -> dict[str, str]:
    home = authority_folder(folder)
    return {
        "--cert": str(home / f"{who}.pem"),
        "--key": str(home / f"{who}.key"),
        "--ca": str(home / "ca.pem"),
    }
