"""Is there a hypervisor to work with? A check of the machine, see `engine.doctor`."""

from __future__ import annotations

from collections.abc import Iterator

import libvirt

from components.hypervisor import eventloop, operations
from components.hypervisor.choice import default_uri
from components.hypervisor.errors import from_libvirt
from components.hypervisor.trusted_xml import parsed
from engine.core.findings import GOOD, MISSING, NOTE, WARNING, Finding
from engine.settings import Settings

TOPIC = "hypervisor"


def check(settings: Settings) -> Iterator[Finding]:
    """Connect to the hypervisor a daemon with these settings would use, and ask what it can do."""
    uri = settings.hypervisor_uri or default_uri()
    eventloop.ensure_running()  # which also keeps the library from writing errors to the screen
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError as error:
        trouble = from_libvirt(error, step="open", name=uri)
        todo = trouble.hint or "apt install libvirt-daemon-system; systemctl start libvirtd"
        yield Finding(TOPIC, uri, MISSING, f"cannot be reached: {error.get_error_message()}", todo)
        return
    try:
        about = operations.version(connection)
        text = f"{about.driver} {about.hypervisor}, libvirt {about.library}"
        yield Finding(TOPIC, uri, GOOD, text)
        yield from capabilities(connection.getCapabilities())
    except libvirt.libvirtError as error:
        text = f"does not tell what it can do: {error.get_error_message()}"
        yield Finding(TOPIC, uri, WARNING, text)
    finally:
        connection.close()


def capabilities(xml: str) -> Iterator[Finding]:
    """Read what a hypervisor says it can do."""
    root = parsed(xml)
    kinds = sorted({str(each.get("type")) for each in root.iterfind(".//guest/arch/domain")})
    if not kinds:
        todo = "apt install qemu-system-x86 (or the one of your processor)"
        yield Finding(TOPIC, "guests", MISSING, "it can run none", todo)
        return
    yield Finding(TOPIC, "guests", GOOD, f"kinds it advertises: {', '.join(kinds)}")
    if "kvm" in kinds:
        text = "advertising kvm is no proof that such a guest runs; the topic kvm says more"
        yield Finding(TOPIC, "acceleration", NOTE, text)
