"""Virtual machines: what all hypervisors share.

`domain` is the component, `effects` what it makes, `xml` the document, `profile` the seam to a
particular hypervisor.
"""
