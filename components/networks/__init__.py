"""Networks of virtual machines: libvirt's, and bridges of the host.

`network`, `bridge` and `ip_pool` are the components, `effects` what a network makes, `xml` its document,
`addresses` how a description may write addresses, `claims` who has which on this host, `allotting` and
`journal` which address of a pool goes to whom.
"""

from components.networks.bridge import Bridge
from components.networks.ip_pool import IpPool
from components.networks.network import Network

__all__ = ["Bridge", "IpPool", "Network"]
