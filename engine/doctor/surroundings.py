"""The network, ports, the state folder, certificates and clocks: what a daemon will meet."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from engine.core.addresses import address_of
from engine.core.faults import EngineError
from engine.core.findings import GOOD, MISSING, NOTE, WARNING, Finding
from engine.doctor.machine import Machine
from engine.security import community
from engine.security.contexts import Credentials
from engine.security.files import check_key
from engine.security.identity import Expiry, read_expiry
from engine.settings import Settings

MIB = 1 << 20
LEAST_MIB, FEW_MIB = 64, 1024
AWAY = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "ceph")
PASSING = ("tmpfs", "ramfs", "overlay")
DAY_S = 86400.0
SOON_DAYS = 30
APART_S, FAR_APART_S = 1.0, 60.0


def network(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Look whether the host's own names lead anywhere."""
    name = machine.name()
    address = machine.resolves(name)
    if address is None:
        todo = f"add it to /etc/hosts: 127.0.1.1 {name}"
        yield Finding("network", name, WARNING, "the host's own name leads nowhere", todo)
    else:
        yield Finding("network", name, GOOD, address)
    if settings.advertise:
        address = machine.resolves(settings.advertise)
        if address is None:
            yield Finding(
                "network", settings.advertise, MISSING, "advertised, but it leads nowhere",
                "correct `advertise`, or enter the name where names are kept",
            )  # fmt: skip
        else:
            yield Finding("network", settings.advertise, GOOD, f"advertised: {address}")
    for peer, where in settings.peers.items():
        host = where.rpartition(":")[0].strip("[]")
        if machine.resolves(host) is None:
            text = f"peer {peer} is at {where}, which leads nowhere"
            yield Finding("network", host, WARNING, text, "correct `peers`")


def ports(machine: Machine, settings: Settings, *, running: bool) -> Iterator[Finding]:
    """Look whether the ports are free, or ours already."""
    hosts = [host.strip() for host in settings.bind.split(",") if host.strip()] or ["127.0.0.1"]
    wanted = [(host, settings.port, "--port") for host in hosts]
    if settings.metrics:
        host, _, number = address_of(settings.metrics, 9380).rpartition(":")
        wanted.append((host.strip("[]"), int(number), "--metrics"))
    for host, port, option in wanted:
        trouble = machine.trouble_at(host, port)
        what = f"{host}:{port}"
        if not trouble:
            yield Finding("ports", what, GOOD, "free")
        elif trouble == "in use" and running:
            yield Finding("ports", what, GOOD, "used by the daemon that runs here")
        else:
            text = f"cannot be listened at: {trouble}"
            yield Finding("ports", what, MISSING, text, f"end what uses it, or change {option}")


def state(machine: Machine, settings: Settings) -> Iterator[Finding]:
    """Look whether the state folder can be written, and lasts."""
    folder = settings.folder
    there = next(each for each in (folder, *folder.absolute().parents) if machine.exists(str(each)))
    if not machine.may(str(there), os.W_OK | os.X_OK):
        todo = "give it to the user of the daemon, or choose another with --state-dir"
        yield Finding("state", str(folder), MISSING, f"{there} cannot be written", todo)
        return
    free_mib = machine.free_bytes(str(there)) // MIB
    if free_mib < LEAST_MIB:
        text = f"{free_mib} MiB free: the ledger cannot be kept"
        yield Finding("state", str(folder), MISSING, text, "make room")
    elif free_mib < FEW_MIB:
        yield Finding("state", str(folder), WARNING, f"only {free_mib} MiB free", "make room")
    else:
        yield Finding("state", str(folder), GOOD, f"can be written, {free_mib} MiB free")
    kind = file_system(machine.text("/proc/mounts") or "", str(there))
    if kind.startswith(AWAY):
        text = f"{kind}: locks over the network do not keep a ledger safe"
        yield Finding("state", "file system", WARNING, text, "choose a local --state-dir")
    elif kind in PASSING:
        text = f"{kind}: may not outlive a restart of the machine, and machines would be forgotten"
        yield Finding("state", "file system", WARNING, text, "choose another --state-dir")
    else:
        yield Finding("state", "file system", GOOD, kind or "unknown")


def file_system(mounts: str, path: str) -> str:
    r"""Return the kind of the file system a path is on, as `/proc/mounts` tells.

    Example:
        >>> file_system("/dev/sda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0", "/tmp/x")
        'tmpfs'
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        place = words[1].replace("\\040", " ")
        inside = path == place or path.startswith(f"{place.rstrip('/')}/")
        if inside and len(place) >= len(best):
            best, kind = place, words[2]
    return kind


def certificates(settings: Settings) -> Iterator[Finding]:
    """Look at the certificate of the daemon and at its authority's."""
    if settings.insecure:
        text = "none are used: whoever reaches the port may do anything"
        yield Finding("certificates", "TLS", WARNING, text, "leave out --insecure")
        return
    try:
        files = _files(settings)
        if files is None:
            text = "none yet: the first start makes some, for this machine only"
            yield Finding("certificates", "local community", NOTE, text)
            return
        check_key(files.key)
        yield Finding("certificates", str(files.key), GOOD, "its owner's alone")
        for what, file in (("daemon", files.cert), ("authority", files.ca)):
            yield lasting(read_expiry(what, file), time.time())
    except EngineError as error:
        todo = error.fault.hint or "issue one with: sfca issue daemon NAME --hosts ..."
        yield Finding("certificates", "files", MISSING, error.fault.message, todo)


def _files(settings: Settings) -> Credentials | None:
    if settings.cert or settings.key or settings.ca:
        return community.given(settings.cert, settings.key, settings.ca, settings.crl)
    own = settings.community_dir
    folder = Path(own) if own else community.folder_of(os.environ)
    files = community.credentials(folder, f"daemon-local-{settings.port}")
    return files if files.cert.exists() else None


def lasting(one: Expiry, now_s: float) -> Finding:
    """Judge how long a certificate is good for.

    Example:
        >>> lasting(Expiry("daemon", "n7", "n7.pem", 86400.0 * 10), 0.0).verdict
        'warning'
    """
    days = (one.expires_s - now_s) / DAY_S
    what = f"{one.what} {one.name}"
    todo = (
        f"sfca renew {one.name}"
        if one.what == "daemon"
        else "make a new authority: docs/security.md"
    )
    if days <= 0:
        return Finding("certificates", what, MISSING, f"expired {-days:.0f} days ago", todo)
    if days < SOON_DAYS:
        return Finding("certificates", what, WARNING, f"expires in {days:.0f} days", todo)
    return Finding("certificates", what, GOOD, f"good for {days:.0f} days")


def clock(machine: Machine) -> Iterator[Finding]:
    """Look whether somebody keeps the clock right."""
    kept = machine.clock_is_kept()
    if kept is None:
        yield Finding("clock", "kernel", NOTE, "does not tell whether it is kept right")
    elif kept:
        yield Finding("clock", "kernel", GOOD, "kept right")
    else:
        text = "nobody keeps it right: times in logs and certificates will not fit other hosts'"
        yield Finding("clock", "kernel", WARNING, text, "apt install systemd-timesyncd, or chrony")


class Greeting:
    """How a peer answered a greeting.

    Attributes:
        ahead_s: By how much its clock is ahead of ours; nothing if it did not tell.
        unsure_s: How wrong that may be: half the time the answer took.
        trouble: Why it did not answer, or empty.
    """

    def __init__(
        self, name: str, address: str, *, ahead_s: float | None = None, unsure_s: float = 0.0,
        trouble: str = "",
    ) -> None:  # fmt: skip
        """Take what was seen."""
        self.name = name
        self.address = address
        self.ahead_s = ahead_s
        self.unsure_s = unsure_s
        self.trouble = trouble

    @classmethod
    def of(cls, name: str, address: str, at_ms: int, sent_s: float, back_s: float) -> Greeting:
        """Compare a peer's clock, in ms, with ours before and after asking, in seconds."""
        ahead_s = at_ms / 1000 - (sent_s + back_s) / 2 if at_ms else None
        return cls(name, address, ahead_s=ahead_s, unsure_s=(back_s - sent_s) / 2)


def peer(seen: Greeting) -> Iterator[Finding]:
    """Judge one peer: whether it answers, and how far its clock is from ours."""
    what = f"{seen.name} at {seen.address}"
    if seen.trouble:
        yield Finding(
            "peers", what, WARNING, seen.trouble, f"start a daemon there; try: sfping {seen.name}"
        )
        return
    yield Finding("peers", what, GOOD, "answers")
    if seen.ahead_s is None:
        return
    apart_s = max(0.0, abs(seen.ahead_s) - seen.unsure_s)
    text = f"{abs(seen.ahead_s):.1f} s {'ahead of' if seen.ahead_s > 0 else 'behind'} ours"
    todo = "keep both clocks right: systemd-timesyncd or chrony"
    if apart_s > FAR_APART_S:
        yield Finding("clock", what, MISSING, f"{text}: certificates may not be believed", todo)
    elif apart_s > APART_S:
        yield Finding("clock", what, WARNING, text, todo)
    else:
        yield Finding("clock", what, GOOD, f"within {seen.unsure_s + APART_S:.1f} s of ours")
