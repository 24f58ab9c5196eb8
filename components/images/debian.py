"""What a system of Debian packages is made of, and what is added to it. Pure, but for the additions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

UNITS = {
    "sd-context.service": """[Unit]
Description=Name and address of this machine as it was told
After=systemd-udev-settle.service systemd-remount-fs.service local-fs.target
Wants=network-pre.target
Before=network-pre.target network.target ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/sd-context --dhcp
StandardOutput=journal+console
TimeoutStartSec=300

[Install]
WantedBy=multi-user.target
""",
    "sd-ready.service": """[Unit]
Description=Say on the console that this machine is ready
After=sd-context.service network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/sd-ready

[Install]
WantedBy=multi-user.target
""",
}
"""Units that run our scripts at boot."""
KEYS_UNIT = "sd-host-keys.service"
KEYS = """[Unit]
Description=Host keys of this machine, where its image has none
ConditionPathExists=/usr/bin/ssh-keygen
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key
After=cloud-init.service
Before=ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
"""
"""Unit that makes what no two machines of an image should have in common."""
SCRIPTS = ("sd-context", "sd-apply", "sd-ready")
FSTAB = "LABEL=root / ext4 defaults 0 1\n"
_WORD = re.compile(r"^(\S+):\s*(.*)$")


def sources_for(texts: Iterable[str], suite: str) -> list[str]:
    r"""Return the lines of apt's configuration that a release is made from, in its one-line form.

    Args:
        texts: Files of either form, such as `/etc/apt/sources.list`.
        suite: The release; its updates belong to it.

    Example:
        >>> text = "Types: deb\nURIs: http://d.o/debian\nSuites: bookworm other\nComponents: main\n"
        >>> sources_for([text, "deb http://e.o/ other main\n"], "bookworm")
        ['deb http://d.o/debian bookworm main']
    """
    wanted = {suite, f"{suite}-updates", f"{suite}-security"}
    found: list[str] = []
    for text in texts:
        for line in text.splitlines():
            words = re.sub(r"\[.*?\]", "", line).split()
            if len(words) >= 4 and words[0] == "deb" and words[2] in wanted:
                found.append(" ".join(words))
        for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)):
            matches = (_WORD.match(line) for line in stanza.splitlines())
            fields = {match[1].lower(): match[2].split() for match in matches if match}
            if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
                found.extend(
                    f"deb {uri} {each} {' '.join(fields.get('components', []))}".strip()
                    for uri in fields.get("uris", [])
                    for each in fields.get("suites", [])
                    if each in wanted
                )
    return list(dict.fromkeys(found))


def own_sources(suite: str) -> list[str]:
    """Return the lines of this host's own configuration for a release; blocks."""
    folder = Path("/etc/apt")
    paths = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    texts = [path.read_text(errors="replace") for path in paths if path.is_file()]
    return sources_for(texts, suite)


def _script(name: str) -> str:
    return files("descriptions").joinpath("guest", name).read_text("utf-8")


def furniture() -> str:
    """Return a digest of what is added to a system: an image with other scripts is another image."""
    texts = (FSTAB, KEYS, *UNITS.values(), *(_script(name) for name in SCRIPTS))
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def furnish(tree: Path, *, context_script: bool) -> None:
    """Add to a system what lets it boot as a guest: mounts, a serial console, our scripts; blocks."""
    etc = tree / "etc"
    (etc / "fstab").write_text(FSTAB)
    (etc / "hostname").write_text("debian\n")
    (etc / "machine-id").write_text("")
    resolver = etc / "resolv.conf"
    if not resolver.is_symlink():
        resolver.write_text("")
    units = etc / "systemd" / "system"
    _link(units / "getty.target.wants" / "serial-getty@ttyS0.service",
          "/lib/systemd/system/serial-getty@.service")  # fmt: skip
    # Interfaces are eth0, eth1, ...: what is told speaks of them so.
    _link(etc / "systemd" / "network" / "99-default.link", "/dev/null")
    _add_unit(units, KEYS_UNIT, KEYS)
    if not context_script:
        return
    programs = tree / "usr" / "local" / "sbin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in SCRIPTS:
        (programs / name).write_text(_script(name))
        (programs / name).chmod(0o755)
    for name, text in UNITS.items():
        _add_unit(units, name, text)


def _add_unit(units: Path, name: str, text: str) -> None:
    (units / name).write_text(text)
    _link(units / "multi-user.target.wants" / name, f"../{name}")


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
