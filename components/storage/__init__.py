"""Storage backends: they make, fill, hand over and remove the volumes of one domain."""

from components.storage.backend import DiskOffer, StorageBackend
from components.storage.loopback import LoopbackStorageBackend

__all__ = ["DiskOffer", "LoopbackStorageBackend", "StorageBackend"]
