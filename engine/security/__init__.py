"""Who may talk to whom, and about what: certificates, rights, quotas, secrets and signatures.

`identity` reads certificates, `rights` is the one table of who may do what, `contexts` makes TLS of
files, `community` finds or makes those of a single machine. Only `authority`, `vault` and
`signatures` import the cryptography library, when they are called: it is slow to load, and ordinary
commands and a daemon's later starts do without.
"""
