"""Storage backends: they make, fill, hand over and remove the volumes of one domain."""

from components.storage.backend import DiskOffer, StorageBackend
from components.storage.loopback import LoopbackStorageBackend
from components.storage.lvm import LVMStorageBackend
from components.storage.overlay import OverlayStorageBackend, Qcow2StorageBackend

__all__ = [
    "DiskOffer", "LVMStorageBackend", "LoopbackStorageBackend", "OverlayStorageBackend",
    "Qcow2StorageBackend", "StorageBackend",
]  # fmt: skip
