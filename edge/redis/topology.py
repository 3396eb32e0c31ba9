"""Which server of a Redis Cluster has which slots, from what its servers say.

``CLUSTER NODES`` is one string, where ``CLUSTER SLOTS`` is nested arrays whose lengths a parser would have to believe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SLOTS", "Address", "View", "merge", "parse_address", "parse_nodes", "parse_redirection"]

SLOTS = 16384
MAX_NODES = 1024
"""The cluster specification recommends at most 1000."""

Address = tuple[str, int]


@dataclass
class View:
    """The cluster as one server sees it, or several together.

    ``members`` are the addresses to connect to; ``aliases`` leads from every other address of a member, which a
    redirection may name, to that. ``claims`` are (first slot, last slot, configuration epoch, member).
    """

    members: set[Address] = field(default_factory=set)
    aliases: dict[Address, Address] = field(default_factory=dict)
    claims: set[tuple[int, int, int, Address]] = field(default_factory=set)

    def owners(self) -> list[Address | None]:
        """Of each slot, who serves it. Of two that claim it, the one with the greater epoch does (Redis Cluster
        specification, "Configuration epochs").
        """
        owners: list[Address | None] = [None] * SLOTS
        for low, high, _, member in sorted(self.claims, key=lambda claim: claim[2]):
            owners[low : high + 1] = [member] * (high + 1 - low)
        return owners


def parse_nodes(text: object, asked: str, *, prefer_names: bool = False) -> View:
    """What ``CLUSTER NODES`` answered. Raises ValueError where that is not a cluster's.

    `asked` is the host that was asked: a server may not know its own address. `prefer_names` takes a node's host name
    before its address, where it announces one: a certificate is for the name.
    """
    if not isinstance(text, bytes):
        raise ValueError("not a list of nodes")
    view = View()
    for line in text.split(b"\n", MAX_NODES)[:MAX_NODES]:
        words = line.decode("ascii", "replace").split(" ")
        if len(words) < 8:
            continue
        flags = words[2].split(",")
        if "noaddr" in flags or "handshake" in flags:
            continue
        place, *names = words[1].split(",")
        address = parse_address(place.partition("@")[0], asked)
        if address is None:
            continue
        name = names[0] if names and "=" not in names[0] and names[0] not in ("", "?") else ""
        member = (name, address[1]) if name and prefer_names else address
        view.members.add(member)
        for alias in (address, (name, address[1])):
            view.aliases[alias] = member
        if "master" in flags:
            _claims(view, words, member)
    if not view.claims:
        raise ValueError("no node has slots")
    return view


def _claims(view: View, words: list[str], member: Address) -> None:
    """The slots at the end of a master's line. Those in brackets are on their way to or from it, and stay as they are
    until they have arrived.
    """
    epoch = _number(words[6], 1 << 64)
    if epoch is None:
        return
    for word in words[8 : 8 + SLOTS]:
        first, dash, last = word.partition("-")
        low = _number(first, SLOTS - 1)
        high = _number(last, SLOTS - 1) if dash else low
        if low is None or high is None or low > high:
            continue
        view.claims.add((low, high, epoch, member))
        if len(view.claims) > SLOTS:
            raise ValueError("more claims than slots")


def merge(views: list[View]) -> View:
    """Several servers' views as one. A server that was away for a while still claims what is another's by now."""
    merged = View()
    for view in views:
        merged.members |= view.members
        merged.aliases.update(view.aliases)
        merged.claims |= view.claims
    return merged


def parse_address(text: str, host: str) -> Address | None:
    """``host:port``, with `host` where there is none; None for anything else. IPv6 addresses stand without brackets."""
    name, colon, number = text.rpartition(":")
    port = _number(number, 65535)
    if not colon or not port or len(name) > 253 or not name.isprintable() or " " in name:
        return None
    return (name if name not in ("", "?") else host, port)


def parse_redirection(detail: str, host: str) -> tuple[int, Address] | None:
    """The slot and the address of ``MOVED slot host:port`` or ``ASK``, without the first word."""
    number, _, place = detail.partition(" ")
    slot, address = _number(number, SLOTS - 1), parse_address(place, host)
    return None if slot is None or address is None else (slot, address)


def _number(text: str, limit: int) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        return None
    number = int(text)
    return number if number <= limit else None
