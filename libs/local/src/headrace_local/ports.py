"""Ports of a stack: chosen once outside the range that the kernel hands to outgoing connections."""

import os
import random
import re
import socket
from collections.abc import Iterable, Mapping

from headrace_core.errors import ConfigurationError

__all__ = ["LOOPBACK", "choose_ports", "port_is_free", "port_range"]

LOOPBACK = "127.0.0.1"
"""The only address that servers of a stack bind to."""

# Below the usual ephemeral range (32768 and up): a port kept for a later start must not become some client's own.
_RANGE = range(15_000, 32_000)
_TRIES_PER_PORT = 200
_FEWEST, _LOWEST, _HIGHEST = 100, 1_024, 65_535


def port_range(environ: Mapping[str, str]) -> range:
    """Where ports are chosen: `HEADRACE_LOCAL_PORTS` (such as 15000-20000, both included), else 15000-31999.

    Stacks that are given ranges of their own cannot take a port that another has left for the time of a restart.
    """
    given = environ.get("HEADRACE_LOCAL_PORTS")
    if not given:
        return _RANGE
    bounds = re.fullmatch(r"(\d{1,5})-(\d{1,5})", given)
    chosen = range(int(bounds[1]), int(bounds[2]) + 1) if bounds else range(0)
    if len(chosen) < _FEWEST or chosen.start < _LOWEST or chosen.stop > _HIGHEST + 1:
        raise ConfigurationError(
            f"HEADRACE_LOCAL_PORTS is {given}.",
            why=f"It names no range of at least {_FEWEST} ports from {_LOWEST} to {_HIGHEST}.",
            fix="Set it to something like 15000-20000, or unset it.",
            code="local_ports",
        )
    return chosen


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now; closing connections of an earlier one do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_ports(names: Iterable[str]) -> dict[str, int]:
    """A free port for each name, all different; two stacks that choose at once are unlikely to meet."""
    chosen: dict[str, int] = {}
    among = port_range(os.environ)
    source = random.SystemRandom()
    for name in names:
        tries = (source.choice(among) for _ in range(_TRIES_PER_PORT))
        chosen[name] = next(port for port in tries if port not in chosen.values() and port_is_free(port))
    return chosen
