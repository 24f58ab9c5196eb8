"""Finding daemons that nobody has named: DNS service records, and announcements on the local link.

What is found is a place to try, nothing more: a peer is believed once its certificate has been checked
in the TLS handshake. `dns` and `zeroconf` are spoken here only.
"""
