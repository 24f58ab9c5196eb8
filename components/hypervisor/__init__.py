"""The one place that speaks libvirt: typed calls, mapped errors, events; nothing of the engine.

Start reading at `protocol` (what callers may use), then `pool` (how they come by a connection).
"""
