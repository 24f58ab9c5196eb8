"""Xen guests: pv, pvh and hvm."""

from components.xen.domain import XenDomain

__all__ = ["XenDomain"]
