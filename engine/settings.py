"""Settings of a daemon: defaults, file, environment, command line; the later wins.

The file is TOML, its names in either style (`stateDir`, `state_dir`); every field also answers to
`SMARTDOMAINS_` and its name in capitals.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from engine.folders import state_home
from sfdl.errors import SmartDomainsError

PREFIX = "SMARTDOMAINS_"
ORIGINS = "origins"


class SettingsError(SmartDomainsError):
    """A setting is wrong; the message says which, and where it came from."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a daemon can be told.

    Attributes:
        bind: Addresses to listen at, joined by commas. Empty: every one with a certificate that was
            given, else loopback.
        port: TCP port.
        advertise: Name or address others reach this daemon by; empty: the first its certificate names.
        cert: Certificate of this daemon, PEM; empty: that of the local community, made when missing.
        key: Its key, readable by its owner only.
        ca: Certificate of the one authority that is believed.
        crl: Its revocation list; empty: `crl.pem` beside `ca` if there is one. Read again on change.
        community_dir: Folder of the local community; empty: `community` in the user's state folder.
        insecure: Do without TLS: whoever reaches the port may do everything.
        connections: Connections a client's certificate may have at a time.
        peer_connections: Connections a daemon's certificate may have at a time.
        requests_per_s: Requests a second of a client's certificate; daemons are never refused.
        requests_burst: Requests of a client's certificate that may come at once.
        require_signed_descriptions: Take applications with a signature of `description_keys` only.
        description_keys: Public keys as `sfca keygen` prints them, `ed25519:...`.
        node: Name of this host among hosts; the host's own name when empty.
        community: Name all daemons of one user share; the user's own name when empty.
        state_dir: Folder for ledgers and work; one sub-folder per port. Empty: that of the user's
            state, for root /var/lib/smartdomains.
        peers: Addresses by host name, as descriptions call them.
        domain: DNS domains, joined by commas, whose `_smartdomains._tcp` records name further hosts.
            Empty: the search list of this machine, for a daemon with a certificate that was given;
            `none`: no DNS server is asked for them.
        dns_server: Address of the DNS server to ask, `ADDRESS[:PORT]`; empty: those of this machine.
        multicast: Announce this daemon on the local link, and take in those who do as well.
        packages: Further packages whose component types may be used.
        liveness_delay_s: Seconds between liveness rounds where a description says nothing.
        liveness_factor: Rounds missed before the other side is presumed dead.
        remember_s: Seconds for which answers to requests are kept.
        rollback_timeout_s: Seconds a rollback may take before the reaper goes on with it.
        most_components: Components this process holds at most.
        most_attributes: Attributes of one component at most, its children not counted.
        most_depth: Components inside each other at most.
        most_operations: Operations under way at the same time at most.
        most_events: Events kept at most.
        subprocesses: Whether descriptions may ask for sub-processes.
        subprocess_gc_rounds: Liveness rounds after which an idle sub-process ends; 0: never.
        process_timeout_s: Seconds a sub-process may take to start.
        process: Name of this process on its host; set for sub-processes by their root.
        root: Address of the root process, in a sub-process.
        clean: Undo what an earlier life has left, instead of taking it up.
        leave_timeout_s: Seconds a daemon that goes down waits for what is ending already.
        restart_grace_s: Seconds peers wait for a daemon that said it is being restarted.
        ping_timeout_s: Most seconds a peer may take to answer one round.
        checks_at_once: Health checks run at the same time, at most.
        lvm: `real`, or `recorded` where there is no device-mapper: commands are written down and
            volumes are sparse files.
        defaults: Descriptions made real at every start, before the daemon says it is ready.
        maintenance: Take no new work until told so.
        hypervisor_uri: Hypervisor of components that do not name one; empty: found on the host.
        metrics: Address to answer Prometheus at, such as `127.0.0.1:9380`; empty: nowhere.
        origins: Where each value that is no default came from; found out, never set.
    """

    bind: str = ""
    port: int = 3800
    advertise: str = ""
    cert: str = ""
    key: str = ""
    ca: str = ""
    crl: str = ""
    community_dir: str = ""
    insecure: bool = False
    connections: int = 32
    peer_connections: int = 128
    requests_per_s: float = 200.0
    requests_burst: float = 400.0
    require_signed_descriptions: bool = False
    description_keys: tuple[str, ...] = ()
    node: str = ""
    community: str = ""
    state_dir: str = ""
    peers: dict[str, str] = {}
    domain: str = ""
    dns_server: str = ""
    multicast: bool = False
    packages: tuple[str, ...] = ()
    liveness_delay_s: float = 15.0
    liveness_factor: int = 2
    remember_s: float = 3600.0
    rollback_timeout_s: float = 60.0
    leave_timeout_s: float = 30.0
    restart_grace_s: float = 30.0
    most_components: int = 100_000
    most_attributes: int = 4096
    most_depth: int = 128
    most_operations: int = 256
    most_events: int = 100_000
    subprocesses: bool = True
    subprocess_gc_rounds: int = 30
    process_timeout_s: float = 60.0
    process: str = "rootProcess"
    root: str = ""
    clean: bool = False
    ping_timeout_s: float = 5.0
    checks_at_once: int = 32
    lvm: Literal["real", "recorded"] = "real"
    defaults: tuple[str, ...] = ()
    maintenance: bool = False
    hypervisor_uri: str = ""
    metrics: str = ""
    origins: dict[str, str] = {}

    @property
    def folder(self) -> Path:
        """Return the folder of this process's state: one per port, and below that per sub-process."""
        base = Path(self.state_dir) if self.state_dir else state_home()
        folder = base / f"port-{self.port}"
        return folder if not self.root else folder / "processes" / self.process


def told(settings: Settings) -> list[tuple[str, str, str]]:
    """Return each setting with its value and where that came from; passwords are not shown.

    Example:
        >>> known = Settings(hypervisor_uri="esx://root:pass@h/?x=1", origins={"hypervisor_uri": "f"})
        >>> told(known)[-2]
        ('hypervisor_uri', 'esx://root:(hidden)@h/?x=1', 'f')
    """
    rows = []
    for name in Settings.__struct_fields__:
        if name == ORIGINS:
            continue
        value = getattr(settings, name)
        match value:
            case dict():
                text = ", ".join(f"{key}={each}" for key, each in value.items())
            case tuple():
                text = ", ".join(value)
            case bool():
                text = "true" if value else "false"
            case _:
                text = str(value)
        hidden = re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:(hidden)@", text)
        rows.append((name, hidden, settings.origins.get(name, "default")))
    return rows


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, object] | None = None,
) -> Settings:
    """Put the settings together.

    Raises:
        SettingsError: A value does not fit, or the file cannot be read.
    """
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    if file is not None:
        try:
            said = tomllib.loads(file.read_text("utf-8"))
            _merge(values, sources, {_snake(name): said[name] for name in said}, str(file))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{file}: {error}") from error
    known = {name.upper(): name for name in Settings.__struct_fields__ if name != ORIGINS}
    for name, text in (os.environ if environment is None else environment).items():
        field = known.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        if field is not None:
            _merge(values, sources, {field: _parsed(field, text)}, name)
    given = {name: value for name, value in (options or {}).items() if value is not None}
    _merge(values, sources, given, "command line")
    if ORIGINS in values:
        raise SettingsError(f"{sources[ORIGINS]}: {ORIGINS} is found out, never set")
    try:
        return msgspec.convert({**values, ORIGINS: sources}, Settings, strict=False)
    except msgspec.ValidationError as error:
        field = str(error).partition("$.")[2].rstrip("`")
        place = sources.get(field, ", ".join(dict.fromkeys(sources.values())))
        raise SettingsError(f"{place}: {error}") from error


def _merge(
    values: dict[str, object], sources: dict[str, str], new: Mapping[str, object], source: str
) -> None:
    values.update(new)
    sources.update(dict.fromkeys(new, source))


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


def _parsed(field: str, text: str) -> object:
    """Read what an environment variable says: `a,b` for a list, `a=1,b=2` for a table."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    match getattr(Settings(), field):
        case tuple():
            return words
        case dict():
            return dict(word.partition("=")[::2] for word in words)
        case _:
            return text
