"""Carries decisions out, on one asyncio loop that owns all component state.

The loop is also the clock: times are `loop.time()`, so a virtual loop gives virtual time.
Start reading at `process`, then `phases` and `ending`.
"""
