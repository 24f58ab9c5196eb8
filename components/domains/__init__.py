"""Virtual machines as components, whatever the hypervisor."""
