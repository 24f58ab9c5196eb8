"""Decisions without I/O: states, records, flows, leases, events and differences.

Nothing here knows a clock, a loop, a socket or a file; the time is always an argument.
Start reading at `lifecycle`, then `flows`.
"""
