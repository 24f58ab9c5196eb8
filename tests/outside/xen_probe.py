"""What libvirt's driver can do with a guest, found by asking it: knows none of the project's code.

    xen_probe.py URI XML_FILE FOLDER

defines and starts the domain, makes each call once, prints `NAME yes` or `NAME no CODE` for each, and
ends and forgets the domain.
"""

import sys
import time
from pathlib import Path

import libvirt

libvirt.registerErrorHandler(lambda _context, _error: None, None)


def main() -> int:
    uri, xml, folder = sys.argv[1], Path(sys.argv[2]).read_text(), sys.argv[3]
    connection = libvirt.open(uri)
    domain = connection.defineXMLFlags(xml, 0)
    saved = f"{folder}/probe.save"

    def save_and_restore() -> None:
        domain.save(saved)
        connection.restore(saved)

    def managed_save() -> None:
        domain.managedSave()
        domain.create()

    def console() -> None:
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        domain.openConsole(None, stream, 0)
        stream.abort()

    snapshot = "<domainsnapshot><name>s</name></domainsnapshot>"
    external = (
        "<domainsnapshot><name>e</name><memory snapshot='external' file='/tmp/m'/></domainsnapshot>"
    )
    checkpoint = "<domaincheckpoint><name>c</name></domaincheckpoint>"
    live, both = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
    calls = {
        "define-validate": lambda: connection.defineXMLFlags(
            domain.XMLDesc(0), libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        ),
        "rename": lambda: domain.rename("probe-2", 0),
        "start-paused": lambda: domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED),
        "resume": domain.resume,
        "suspend": lambda: (domain.suspend(), domain.resume()),
        "single-stats": lambda: (domain.info(), domain.getCPUStats(True)),
        "memory-stats": domain.memoryStats,
        "bulk-stats": lambda: connection.getAllDomainStats(0, 0),
        "vcpu-info": domain.vcpus,
        "block-info": lambda: domain.blockInfo("xvda1"),
        "shutdown-agent": lambda: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT),
        "agent-ping": lambda: domain.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT),
        "memory-balloon": lambda: domain.setMemoryFlags(90 * 1024, live),
        "vcpus-above-host": lambda: domain.setVcpusFlags(2, live),
        "console-stream": console,
        "screenshot": lambda: domain.screenshot(connection.newStream(), 0),
        "internal-snapshot": lambda: domain.snapshotCreateXML(snapshot),
        "external-snapshot": lambda: domain.snapshotCreateXML(external),
        "checkpoint": lambda: domain.checkpointCreateXML(checkpoint),
        "block-commit": lambda: domain.blockCommit("xvda1", None, None),
        "autostart": lambda: (domain.setAutostart(1), domain.setAutostart(0)),
        "metadata": lambda: domain.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<x/>", "x", "urn:x", both
        ),
        "shutdown-acpi": lambda: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN),
        "save-restore": save_and_restore,
        "managed-save": managed_save,
        "destroy-graceful": lambda: domain.destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL),
        "undefine-checkpoints": lambda: domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        ),
        "undefine-nvram": lambda: domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM),
        "undefine-snapshots": lambda: domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        ),
        "undefine-saved": lambda: domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE),
    }
    try:
        for name, call in calls.items():
            began = time.monotonic()
            try:
                call()
                answer = "yes"
            except libvirt.libvirtError as error:
                answer = f"no {error.get_error_code()} {error.get_error_message()}"
            sys.stderr.write(f"{name} {time.monotonic() - began:.1f} s\n")
            print(name, answer, flush=True)
    finally:
        try:
            found = connection.lookupByName(domain.name())
            if found.isActive():
                found.destroy()
            found.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
        except libvirt.libvirtError:
            pass  # one of the last calls has forgotten it
        Path(saved).unlink(missing_ok=True)
        connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
