"""Networks of virtual machines: libvirt's, and bridges of the host.

`network` and `bridge` are the components, `effects` what a network makes, `xml` its document,
`addresses` how a description may write addresses, `claims` who has which on this host.
"""

from components.networks.bridge import Bridge
from components.networks.network import Network

__all__ = ["Bridge", "Network"]
