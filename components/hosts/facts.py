"""What is known of a host, as words of the form `name=value` that placement can go by."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from components.hypervisor.protocol import NodeFacts, Version
from engine.runtime.commands import search_path

DEVICE_MAPPER = Path("/dev/mapper/control")


def facts_of(
    version: Version, node: NodeFacts, networks: list[str], storage: list[str], zone: str = ""
) -> tuple[str, ...]:
    """Return what is known of a host.

    Args:
        version: Who answers.
        node: What the machine has.
        networks: Names of the networks that machines can be on.
        storage: Kinds of storage it can keep volumes with.
        zone: What the description says of its place.

    Example:
        >>> version = Version(driver="QEMU", library="9.0.0", hypervisor="7.2.0")
        >>> node = NodeFacts(arch="x86_64", cpus=2, memory_bytes=2**30, domain_types=("qemu",))
        >>> facts_of(version, node, ["lan"], ["overlay"], "cellar")
        ('arch=x86_64', 'hypervisor=QEMU', 'kvm=no', 'storage=overlay', 'network=lan', 'zone=cellar')
    """
    words = [f"arch={node.arch}"]
    if node.cpu_model:
        words.append(f"cpu={node.cpu_model}")
    words.append(f"hypervisor={version.driver}")
    if {"qemu", "kvm"} & set(node.domain_types):
        words.append(f"kvm={'yes' if 'kvm' in node.domain_types else 'no'}")
    words += [f"storage={kind}" for kind in storage]
    words += [f"network={name}" for name in networks]
    return (*words, f"zone={zone}") if zone else tuple(words)


def storage_here() -> Iterator[str]:
    """Give the kinds of storage that this host can keep volumes with; blocks.

    `loop` are raw files, `overlay` layers, `lvm` logical volumes; `mount` says that volumes can be
    filled by mounting them.
    """
    path = search_path()
    yield "loop"
    if shutil.which("qemu-img", path=path):
        yield "overlay"
    if DEVICE_MAPPER.exists() and shutil.which("lvs", path=path):
        yield "lvm"
    if os.geteuid() == 0 and shutil.which("losetup", path=path):
        yield "mount"
