"""QEMU guests, accelerated by KVM or emulated."""

from components.kvm.domain import KvmDomain

__all__ = ["KvmDomain"]
