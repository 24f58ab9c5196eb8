"""The host key of SSH that guests have where a description gives them one."""

from __future__ import annotations

from msgspec import Struct

from engine.runtime.kinds import BadValueError
from engine.security.ssh_keys import pair_of

CHOICES = ("perVm", "fixed", "image")
"""Keys made at the first boot, the one given, or those of the image."""
_HINT = "make one with: ssh-keygen -t ed25519 -N '' -f FILE"


class HostKey(Struct, frozen=True):
    """A key pair as sshd keeps it.

    Attributes:
        kind: `ed25519`, `ecdsa` or `rsa`.
        private: Text of the file, with a line break at its end.
        public: One line without it.
    """

    kind: str
    private: str
    public: str

    @property
    def path(self) -> str:
        """Return where the guest has the private one; the public one is beside it, named `.pub`.

        Example:
            >>> HostKey("rsa", "", "").path
            '/etc/ssh/ssh_host_rsa_key'
        """
        return f"/etc/ssh/ssh_host_{self.kind}_key"


def read_key(text: str) -> HostKey:
    """Take a private key in the form of OpenSSH, without a passphrase.

    Raises:
        BadValueError: It is none; the text does not repeat it.
    """
    try:
        return HostKey(*pair_of(text.strip()))
    except ValueError:
        raise BadValueError(
            f"hostKey must be a private key in the form of OpenSSH, without a passphrase; {_HINT}"
        ) from None


def check_pair(host_keys: str, host_key: str) -> None:
    """Refuse a choice that does not go with whether there is a key.

    Raises:
        BadValueError: The text says what to do.
    """
    if host_keys == "fixed" and not host_key:
        raise BadValueError(f'hostKeys "fixed" needs hostKey; {_HINT}')
    if host_key and host_keys != "fixed":
        raise BadValueError(f'hostKey is given and hostKeys is "{host_keys}": say hostKeys "fixed"')
