"""The community of one user on one machine: made at a daemon's first start, found by every command.

Its folder is an authority's (see `authority`), with one certificate for each daemon, by port, and one
for its user.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from engine.core.faults import NameInUse, NotAllowed
from engine.folders import state_home
from engine.security.contexts import Contexts, Credentials
from engine.security.identity import Role, read_certificate

PREFIX = "SMARTDOMAINS_"
USER = "user"
SOON_S = 30 * 86400.0
"""Certificates of a local community are renewed this long before they expire."""


def folder_of(environment: Mapping[str, str]) -> Path:
    """Return where the community of this user is.

    Example:
        >>> folder_of({"SMARTDOMAINS_STATE_DIR": "/var/lib/sd"})
        PosixPath('/var/lib/sd/community')
    """
    own = environment.get(f"{PREFIX}COMMUNITY_DIR")
    if own:
        return Path(own)
    state = environment.get(f"{PREFIX}STATE_DIR")
    if state:
        return Path(state) / "community"
    return state_home() / "community"


def credentials(folder: Path, who: str) -> Credentials:
    """Return the files of a certificate in a community, such as `client-user`."""
    return Credentials(
        folder / f"{who}.pem", folder / f"{who}.key", folder / "ca.pem", folder / "crl.pem"
    )


def for_daemon(folder: Path, port: int, bind: str = "127.0.0.1") -> Credentials:
    """Return the certificate of the daemon at a port of this machine, making what is missing.

    Raises:
        NotAllowed: Files of the community cannot be used.
        OSError: They cannot be written.
    """
    hosts = ["127.0.0.1", "::1", "localhost"]
    own_name = socket.gethostname()
    wanted = (bind, own_name if re.fullmatch(r"[A-Za-z0-9.-]+", own_name) else "localhost")
    hosts += [host for host in wanted if host not in hosts]
    own = credentials(folder, f"daemon-local-{port}")
    users = credentials(folder, f"client-{USER}")
    if not (_good(own, hosts) and _good(users)):
        _make(folder, port, hosts)
    return own


def _good(files: Credentials, hosts: list[str] | None = None) -> bool:
    """Say whether a certificate is there, will be for a while, and is good for all hosts."""
    if not all(file.exists() for file in (files.cert, files.key, files.ca)):
        return False
    own = read_certificate(files.cert)
    return own.expires_s > time.time() + SOON_S and set(hosts or ()) <= set(own.hosts)


def _make(folder: Path, port: int, hosts: list[str]) -> None:
    from engine.security.authority import Authority  # noqa: PLC0415 - slow to load, rarely needed

    with contextlib.suppress(NameInUse):
        Authority.create(folder, "local")
    authority = Authority(folder)
    name = f"local-{port}"
    for kind, who, places, roles in (
        ("daemon", name, hosts, ()), ("client", USER, [], (Role.ADMIN,)),
    ):  # fmt: skip
        files = credentials(folder, f"{kind}-{who}")
        try:
            if not files.cert.exists():
                authority.issue(kind, who, hosts=places, roles=roles)
            elif not _good(files, places):
                authority.renew(who, hosts=places)
        except NameInUse:  # another daemon was quicker
            continue


def of_user(environment: Mapping[str, str] | None = None) -> Contexts | None:
    """Return what a command of this user goes to daemons with; nothing means without TLS.

    What `--cert`, `--key`, `--ca` or settings of these names say comes first, then the certificate
    that the first daemon on this machine has made.

    Raises:
        NotAllowed: There is no certificate, or its files cannot be used.
    """
    environment = os.environ if environment is None else environment
    if environment.get(f"{PREFIX}INSECURE", "").lower() in {"1", "true", "yes"}:
        return None
    said = {name: environment.get(PREFIX + name.upper(), "") for name in ("cert", "key", "ca")}
    if any(said.values()):
        return Contexts(given(**said, crl=environment.get(f"{PREFIX}CRL", "")))
    files = credentials(folder_of(environment), f"client-{USER}")
    if not files.cert.exists():
        raise NotAllowed(
            "there is no certificate of yours on this machine", code="SF-SEC-006",
            hint="name yours with --cert, --key and --ca; a daemon of yours here makes one by itself",
        )  # fmt: skip
    return Contexts(files)


def given(cert: str, key: str, ca: str, crl: str = "") -> Credentials:
    """Return the files that were named.

    Raises:
        NotAllowed: One of the three that belong together is missing.
    """
    missing = [f"--{name}" for name, file in (("cert", cert), ("key", key), ("ca", ca)) if not file]
    if missing:
        raise NotAllowed(
            f"{' and '.join(missing)} missing: certificate, key and authority belong together",
            code="SF-SEC-001",
        )
    return Credentials.of(cert, key, ca, crl)
