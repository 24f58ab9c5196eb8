"""Storage backends: they make, fill, hand over and remove the volumes of one domain.

`backend` has what all share, `declared` their attributes, `keeping` what becomes of volumes;
`loopback`, `lvm`, `overlay` and `pool_backend` are the kinds. `storage_pool` and `volume` are what a
hypervisor keeps by itself, `shared_store` what several hosts see.
"""

from components.storage.backend import StorageBackend
from components.storage.loopback import LoopbackStorageBackend
from components.storage.lvm import LVMStorageBackend
from components.storage.offers import DiskOffer
from components.storage.overlay import OverlayStorageBackend, Qcow2StorageBackend
from components.storage.pool_backend import PoolStorageBackend
from components.storage.shared_store import SharedStore, SharedView
from components.storage.storage_pool import StoragePool
from components.storage.volume import Volume

__all__ = [
    "DiskOffer", "LVMStorageBackend", "LoopbackStorageBackend", "OverlayStorageBackend",
    "PoolStorageBackend", "Qcow2StorageBackend", "SharedStore", "SharedView", "StorageBackend",
    "StoragePool", "Volume",
]  # fmt: skip
