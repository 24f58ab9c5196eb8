"""What commands and the console use: synchronous, typed, free of anything from the wire.

Start at `client.Client`.
"""
