"""What looks after a running daemon: the probe of its loop, metrics, the service manager."""
