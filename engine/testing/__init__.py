"""The public test kit: engines on an in-memory network, virtual time, faults, and a ledger inspector.

Start at `kit`. Authors of components may use all of it in their own tests.
"""
