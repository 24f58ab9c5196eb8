"""Hosts of a description, and clusters of machines on them."""

from components.hosts.physical_host import PhysicalHost
from components.hosts.virtual_cluster import Pool, VirtualCluster

__all__ = ["PhysicalHost", "Pool", "VirtualCluster"]
