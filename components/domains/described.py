"""What descriptions say of a machine: what it is, and how it behaves."""

from __future__ import annotations

from components.context import Context
from components.domains.further import disks_kind, interfaces_kind
from components.domains.methods import cpus, methods
from components.domains.overriding import overrides_kind
from components.hypervisor import names
from components.hypervisor.choice import uri_kind
from components.networks.addresses import (
    hostname_kind,
    ip_kind,
    mac_kind,
    mac_prefix_kind,
    netmask_kind,
)
from components.networks.ip_pool import IpPool
from components.networks.joined import Joined
from components.reporting import Reporting
from components.storage.backend import StorageBackend
from components.surroundings.workplace import Workplace
from components.system.shell import Shell
from engine.compound import Compound
from engine.runtime.attributes import attr, link, output
from engine.runtime.kinds import bool_, duration_ms, duration_s, int_, size_bytes, str_, strings
from sfdl.values import Vector


class Described(Workplace, Reporting, Compound):
    """A machine as it is described: its name, devices and size, and where it comes from."""

    domain_name = attr(
        names.name_kind, "", doc="Name at the hypervisor; from the component's path if empty.",
        called="domainName", unique=True,
    )  # fmt: skip
    hostname = attr(hostname_kind, "", doc="Host name; the domainName if empty.")
    ip = attr(
        ip_kind, "", unique=True,
        doc="Address of the first interface; DHCP if empty; kept for it at the network.",
    )  # fmt: skip
    netmask = attr(netmask_kind, "255.255.0.0", doc="Netmask that goes with ip.")
    gateway = attr(ip_kind, "", doc="Gateway in the subnet of ip; none if empty.")
    gateway_on_link = attr(
        bool_, False, doc="Allow a gateway outside the subnet.", called="gatewayOnLink"
    )
    mac = attr(
        mac_kind, "", unique=True, doc="MAC address; from the ip, else from the UUID, if empty."
    )
    mac_mode = attr(
        str_, "ip", choices=("ip", "uuid"), called="macMode",
        doc="What the MAC address stands for where mac is empty: the ip, if there is one, or the UUID.",
    )  # fmt: skip
    mac_prefix = attr(
        mac_prefix_kind, "", called="macPrefix",
        doc="First three octets of a MAC address that stands for the UUID; 52:54:00, on Xen with "
        'macMode "uuid" 00:16:3e, if empty.',
    )  # fmt: skip
    given_uuid = attr(
        names.uuid_kind, "", called="uuid", unique=True,
        doc="UUID at the hypervisor; from the component's path, the same each time, if empty.",
    )  # fmt: skip
    arch = attr(
        str_,
        "",
        choices=("", "x86_64", "i686"),
        doc="Architecture of its processors; the host's if empty.",
    )
    network = link(
        Joined, required=False, text=True,
        doc="Network it is on: a component, or a name at the hypervisor; the host's defaultNetwork "
        "if neither network nor bridge is given.",
    )  # fmt: skip
    bridge = link(
        Joined, required=False, text=True,
        doc="Bridge of the host it is on: a component, or a device name.",
    )  # fmt: skip
    ip_pool = link(
        IpPool, required=False, called="ipPool",
        doc="Where the address comes from if ip is not given; else ip is taken from there.",
    )  # fmt: skip
    memory = attr(size_bytes, 512, ge=32 * 2**20, le=2**44, doc="Memory at boot.")
    max_memory = attr(
        size_bytes, None, le=2**44, called="maxMemory",
        doc="Most memory it may be given while it runs; memory if not given.",
    )  # fmt: skip
    min_memory = attr(
        size_bytes, None, ge=2**20, le=2**44, called="minMemory",
        doc="Least memory it may be given while it runs; half of memory if not given.",
    )  # fmt: skip
    vcpus = attr(int_, 1, ge=1, le=1024, doc="Virtual CPUs at boot.")
    max_vcpus = attr(
        int_, None, ge=1, le=1024, called="maxVcpus",
        doc="Most virtual CPUs it may be given while it runs; vcpus if not given.",
    )  # fmt: skip
    cpu_shares = attr(
        int_, None, ge=1, le=262144, called="cpuShares",
        doc="Its weight beside others for processor time, in the hypervisor's measure.",
    )  # fmt: skip
    cpu_quota = attr(
        int_, None, ge=1, le=102400, called="cpuQuota",
        doc="Most processor time it gets, in percent of one CPU.",
    )  # fmt: skip
    cpu_pin = attr(
        cpus, (), called="cpuPin", doc="Processors of the host it may run on; all if empty."
    )
    numa_node = attr(
        int_, None, ge=0, le=1023, called="numaNode", doc="Node of the host its memory is on."
    )
    graphics = attr(str_, "none", choices=("none", "vnc", "spice"), doc="Screen it is given.")
    graphics_listen = attr(
        ip_kind, "127.0.0.1", called="graphicsListen", doc="Address its screen is shown at."
    )
    bandwidth_in = attr(
        int_,
        0,
        ge=0,
        called="bandwidthIn",
        doc="Most Kbit/s into its first interface; 0: no limit.",
    )
    bandwidth_out = attr(
        int_, 0, ge=0, called="bandwidthOut",
        doc="Most Kbit/s out of its first interface; 0: no limit.",
    )  # fmt: skip
    console_log = attr(
        str_, "", called="consoleLog",
        doc="File on the host that its serial console is written to, new and gone with the machine; one "
        "of the daemon's own if empty. Not under Xen, which keeps its own.",
    )  # fmt: skip
    kernel = attr(str_, "", doc="Kernel on the host to boot directly.")
    ramdisk = attr(str_, "", doc="Initial RAM disk on the host; needs a kernel.")
    extra = attr(str_, "", doc="Further words for the kernel's command line; needs a kernel.")
    disks = attr(
        disks_kind, None,
        doc="Disks that are there already, beside those of storageBackend: components of path, "
        "format, readOnly, shareable, boot and target, or paths alone.",
    )  # fmt: skip
    interfaces = attr(
        interfaces_kind, None,
        doc="Interfaces beside the first: components of network or bridge, mac, ip, netmask and "
        "model, or names of networks alone.",
    )  # fmt: skip
    storage_backend = link(
        StorageBackend, doc="Where the disks come from.", called="storageBackend", required=False
    )
    shell = link(Shell, doc="Runs host commands.", required=False)
    context = link(
        Context, required=False,
        doc="What the guest learns at boot, and how; its name and address only if not given.",
    )  # fmt: skip
    diskless = attr(bool_, False, doc="Have no disks.")
    xml_override = attr(
        overrides_kind, (), called="xmlOverride",
        doc="Last word on its XML, a list of [xpath, action, value]: set an attribute or text, add an "
        "element below, remove.",
    )  # fmt: skip
    hypervisor_uri = attr(
        uri_kind, "", doc="Hypervisor; found on the host if empty.", called="hypervisorUri"
    )


class Conducted(Described):
    """A machine whose conduct is described: when it has started, what becomes of it, how it ends."""

    domain_liveness_check = attr(
        bool_, True, doc="Look at the guest regularly.", called="domainLivenessCheck"
    )
    domain_liveness_delay = attr(
        duration_ms, 2000, ge=0.05, doc="Milliseconds between looks.", called="domainLivenessDelay"
    )
    domain_liveness_factor = attr(
        int_, 3, ge=1, doc="Looks in a row that must fail.", called="domainLivenessFactor"
    )
    domain_liveness_methods = attr(
        methods, ("state",),
        doc="Ways to look at it: state, agent, ping, console, tcp:PORT; all must find it well.",
        called="domainLivenessMethods",
    )  # fmt: skip
    agent_timeout = attr(
        duration_s, 5, ge=1, le=600, called="agentTimeout",
        doc="Seconds the guest's agent has for an answer.",
    )  # fmt: skip
    console_quiet = attr(
        duration_s, 60, ge=1, doc="Seconds the console may be silent, where that is looked at.",
        called="consoleQuiet",
    )  # fmt: skip
    connection_grace = attr(
        duration_s, 60, doc="Seconds an unreachable hypervisor is not held against the guest.",
        called="connectionGrace",
    )  # fmt: skip
    start_mode = attr(
        str_, "running", choices=("defined", "created", "running", "booted"),
        doc="How far it is started: defined only, created with its processors paused, running, or "
        "until it has booted.",
        called="startMode",
    )  # fmt: skip
    ready_marker = attr(
        str_, "SD-READY", doc="What the console shows once booted; the agent's answer counts, too.",
        called="readyMarker",
    )  # fmt: skip
    ready_checks = attr(
        methods, (), doc="Ways to look at it that all find it well once it has booted.",
        called="readyChecks",
    )  # fmt: skip
    boot_timeout = attr(
        duration_s, None, doc="Seconds until booted; 120, or 600 where it is emulated, if not given.",
        called="bootTimeout",
    )  # fmt: skip
    persistent = attr(bool_, True, doc="Keep it defined; else nothing is left of it once it stops.")
    autostart = attr(bool_, False, doc="Have the hypervisor start it with the host.")
    priority = attr(int_, 50, ge=0, le=100, doc="Its order where not all can be served.")
    labels = attr(strings, (), doc="Words it can be chosen by.")
    drift_policy = attr(
        str_, "report", choices=("report", "repair", "ignore"), called="driftPolicy",
        doc="What is done when somebody else changes the machine: it is told, or set back as well.",
    )  # fmt: skip
    drift_period = attr(
        duration_s, 60, ge=0.05, called="driftPeriod", doc="Seconds between two comparisons."
    )
    update_mode = attr(
        str_, "defer", choices=("defer", "reboot"), called="updateMode",
        doc="When an update takes effect that needs a power cycle: at the next one, or now by one.",
    )  # fmt: skip
    allow_replace = attr(
        bool_, False, called="allowReplace",
        doc="Let an update end the machine and make another where no other way is left, and replace its "
        "volumes, which loses what is on them.",
    )  # fmt: skip
    on_guest_shutdown = attr(
        str_, "terminate", choices=("terminate", "restart", "ignore"),
        doc="What to do when the guest shuts down by itself, or somebody else stops it.",
        called="onGuestShutdown",
    )  # fmt: skip
    on_guest_reboot = attr(
        str_, "continue", choices=("continue", "recreate"),
        doc="What to do when the guest reboots; recreate starts it with a changed definition.",
        called="onGuestReboot",
    )  # fmt: skip
    on_guest_crash = attr(
        str_, "terminate", choices=("terminate", "restart", "dump"), called="onGuestCrash",
        doc="What to do when the guest crashes, or its emulator dies; dump writes the memory of a guest "
        "that has crashed to a file of its host, which stays, and ends it.",
    )  # fmt: skip
    capability_policy = attr(
        str_, "degrade", choices=("degrade", "strict"), called="capabilityPolicy",
        doc="What to do where its hypervisor cannot do something: it another way, told in degraded, or "
        "nothing at all.",
    )  # fmt: skip
    restart_limit = attr(
        int_, 3, ge=0, doc="Restarts within restartWindow; one more ends it abnormally.",
        called="restartLimit",
    )  # fmt: skip
    restart_window = attr(
        duration_s, 600, doc="Seconds over which restarts are counted.", called="restartWindow"
    )
    stop_mode = attr(
        str_, "graceful", choices=("graceful", "destroy", "save", "suspend", "leave"),
        doc="How the guest is ended where that is wished; after save, suspend and leave all of it "
        "stays, and the next start goes on with it.",
        called="stopMode",
    )  # fmt: skip
    on_daemon_stop = attr(
        str_, "leave", choices=("leave", "save", "graceful"),
        doc="What becomes of the guest when its daemon is stopped by force; all else of it stays.",
        called="onDaemonStop",
    )  # fmt: skip
    stop_timeout = attr(
        duration_s, 60, doc="Seconds the guest has to shut down.", called="stopTimeout"
    )
    uuid = output(str, doc="UUID at the hypervisor, the same at each deployment.")
    number = output(
        int, called="id", doc="Number of its running instance at the hypervisor; NULL if it is off."
    )
    state = output(str, doc="Run state of the guest when it was last seen.")
    stateReason = output(str, doc="Why it was in that state, in the hypervisor's words.")
    host = output(str, doc="Name of the host it is on.")
    bootTime = output(
        str, doc="When its guest was started last, with the distance from UTC; not known of one that "
        "was taken up again.",
    )  # fmt: skip
    macAddress = output(str, doc="MAC address of the first interface, if it has one.")
    address = output(str, doc="Address of the first interface, if it is known.")
    addresses = output(
        Vector, doc="Addresses it is known to have at the hypervisor, first interface first."
    )
    vncPort = output(int, doc="Port its screen is shown at, if it has one.")
    xml = output(str, doc="What it is defined as, as libvirt's XML.")
    contextMode = output(str, doc="How the guest was told its name and address.")
    contextTold = output(
        str, doc="In mode agent: whether the guest's agent has applied what it is told: told, waiting, "
        "or why not.",
    )  # fmt: skip
    pendingChanges = output(str, doc="Attributes that take effect at the next power cycle.")
    escapes = output(
        Vector, doc="What of its host it gets at by xmlOverride, beyond what is described."
    )
    drift = output(str, doc="What somebody else has changed of the machine.")
    consolePath = output(
        str, doc="File with what the serial console shows; from 10 MiB on it is cut, and the last three "
        "pieces stay beside it as .1, .2 and .3.",
    )  # fmt: skip
