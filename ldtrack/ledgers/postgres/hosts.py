"""Which servers a connection string names, one after the other.

Rule for this file: from parameters to parameters; nothing here connects. How many tries there are, and how
long each may take, is ours to know: the driver gives every host as long as it would give one.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["Hosts", "Parameters"]

Parameters = dict[str, Any]

_LISTS: Final = ("host", "hostaddr", "port")
SHORTEST_TRY: Final = 2
"""libpq waits for so many seconds at least, whatever it is told."""


class Hosts:
    """The hosts of a connection string: in its order, but first the one that was good last."""

    def __init__(self, parameters: Parameters, *, timeout: float) -> None:
        hosts = _split(parameters)
        share = {"connect_timeout": max(SHORTEST_TRY, int(timeout / len(hosts)))}
        self._hosts = [{**share, **one} for one in hosts]

    def in_turn(self) -> list[Parameters]:
        """What to connect with, first things first."""
        return list(self._hosts)

    def prefer(self, host: Parameters) -> None:
        """Try this one first from now on: after a failover the others are gone, or older than it."""
        self._hosts.remove(host)
        self._hosts.insert(0, host)


def _split(parameters: Parameters) -> list[Parameters]:
    """One set of parameters for each host; a list of one counts for all of them, as libpq reads it."""
    lists = {name: str(parameters[name]).split(",") for name in _LISTS if parameters.get(name) is not None}
    count = max(len(lists.get("host", ())), len(lists.get("hostaddr", ())))
    if count < 2 or any(len(values) not in {1, count} for values in lists.values()):  # noqa: PLR2004 - a list
        return [parameters]  # what does not fit together is the driver's to complain about
    return [
        {**parameters, **{name: values[at % len(values)] for name, values in lists.items()}}
        for at in range(count)
    ]
