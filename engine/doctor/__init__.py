"""Is a machine fit to be a host? Looks, changes nothing, and says what to do.

Start reading at `checkup`. Packages of components add checks of their own by the entry-point group
`smartdomains.checks`: functions that take the settings of a daemon and return findings.
"""
