"""Hosts of a description."""

from components.hosts.physical_host import PhysicalHost

__all__ = ["PhysicalHost"]
