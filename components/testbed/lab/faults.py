"""What is wrong with a lab's network, and the packet filter that makes it so. Decides only.

Each host hangs on a port of the fabric's bridge, `upN`; while it is slow, on `slowN`, behind which a
wire holds up its frames. Address resolution passes a cut, so that one direction alone can be cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import msgspec
from typing_extensions import override


class Slow(msgspec.Struct, frozen=True):
    """A bad line to one host; both directions alike.

    Attributes:
        delay_ms: How much later each frame arrives, in milliseconds.
        loss: Part of the frames that are lost, 0 to 1.
        duplicate: Part of the frames that arrive twice, 0 to 1.
    """

    delay_ms: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: A value is out of its range, or nothing is asked for.
        """
        if not 0 <= self.delay_ms <= 60_000:
            raise ValueError(f"a delay of {self.delay_ms:g} ms: from 0 to 60000")
        for name, part in (("loss", self.loss), ("duplicate", self.duplicate)):
            if not 0 <= part <= 1:
                raise ValueError(f"{name} {part:g}: from 0 to 1, the part of all frames")
        if not (self.delay_ms or self.loss or self.duplicate):
            raise ValueError("nothing is slow: give a delay, a loss or a duplicate")

    @override
    def __str__(self) -> str:
        words = [f"{self.delay_ms:g} ms later"] if self.delay_ms else []
        words += [f"{self.loss:.0%} lost"] if self.loss else []
        words += [f"{self.duplicate:.0%} twice"] if self.duplicate else []
        return ", ".join(words)


class Faults(msgspec.Struct, frozen=True):
    """All that is wrong with the network.

    Attributes:
        cuts: Pairs of hosts: what the first sends does not reach the second.
        isolated: Hosts nothing reaches and nothing leaves.
        slow: Bad lines by host.
    """

    cuts: tuple[tuple[str, str], ...] = ()
    isolated: tuple[str, ...] = ()
    slow: dict[str, Slow] = {}

    def cut(self, a: str, b: str, *, one_way: bool) -> Faults:
        """Return these faults and one more: from `a` nothing reaches `b`, nor back unless one way."""
        more = [(a, b)] if one_way else [(a, b), (b, a)]
        return msgspec.structs.replace(self, cuts=tuple(dict.fromkeys([*self.cuts, *more])))

    def isolate(self, host: str) -> Faults:
        """Return these faults and one more: nothing reaches the host."""
        return msgspec.structs.replace(self, isolated=tuple(dict.fromkeys([*self.isolated, host])))

    def slowed(self, host: str, slow: Slow) -> Faults:
        """Return these faults, with a bad line to the host."""
        return msgspec.structs.replace(self, slow={**self.slow, host: slow})

    def healed(self, host: str) -> Self:
        """Return what is left of the faults when a host has none.

        Example:
            >>> Faults().cut("h1", "h2", one_way=False).isolate("h3").healed("h2").isolated
            ('h3',)
        """
        return msgspec.structs.replace(
            self,
            cuts=tuple(pair for pair in self.cuts if host not in pair),
            isolated=tuple(name for name in self.isolated if name != host),
            slow={name: slow for name, slow in self.slow.items() if name != host},
        )

    def of(self, host: str) -> list[str]:
        """Say in words what is wrong with the network of a host.

        Example:
            >>> Faults().cut("h1", "h2", one_way=True).of("h2")
            ['cut from h1']
        """
        words = ["isolated"] if host in self.isolated else []
        for other in dict.fromkeys(name for pair in self.cuts if host in pair for name in pair):
            there, back = (host, other) in self.cuts, (other, host) in self.cuts
            if there or back:
                words.append(f"cut {'off' if there and back else 'from' if back else 'to'} {other}")
        if host in self.slow:
            words.append(str(self.slow[host]))
        return words


def rules(faults: Faults, numbers: Mapping[str, int]) -> str:
    """Write the packet filter of the fabric's bridge for nft, which puts it in place at one stroke.

    Args:
        faults: What is to be wrong; nothing makes an empty filter.
        numbers: Number of each host.

    Example:
        >>> print(rules(Faults().cut("h1", "h2", one_way=True), {"h1": 1, "h2": 2}))
        table bridge lab
        delete table bridge lab
        table bridge lab {
          chain forward {
            type filter hook forward priority 0; policy accept;
            iifname { "up1", "slow1" } oifname { "up2", "slow2" } ether type != arp drop;
          }
          chain input {
            type filter hook input priority 0; policy accept;
          }
          chain output {
            type filter hook output priority 0; policy accept;
          }
        }
    """
    ports = {name: f'{{ "up{number}", "slow{number}" }}' for name, number in numbers.items()}
    into = [f"iifname {ports[name]} drop;" for name in faults.isolated]
    out = [f"oifname {ports[name]} drop;" for name in faults.isolated]
    cuts = [
        f"iifname {ports[a]} oifname {ports[b]} ether type != arp drop;" for a, b in faults.cuts
    ]
    lines = ["table bridge lab", "delete table bridge lab", "table bridge lab {"]
    for hook, entries in (("forward", [*into, *out, *cuts]), ("input", into), ("output", out)):
        lines.append(f"  chain {hook} {{")
        lines.append(f"    type filter hook {hook} priority 0; policy accept;")
        lines.extend(f"    {entry}" for entry in entries)
        lines.append("  }")
    return "\n".join([*lines, "}"])
