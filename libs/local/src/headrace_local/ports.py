"""Ports of a stack: chosen once outside the range that the kernel hands to outgoing connections."""

import random
import socket
from collections.abc import Iterable

__all__ = ["LOOPBACK", "choose_ports", "port_is_free"]

LOOPBACK = "127.0.0.1"
"""The only address that servers of a stack bind to."""

# Below the usual ephemeral range (32768 and up): a port kept for a later start must not become some client's own.
_RANGE = range(15_000, 32_000)
_TRIES_PER_PORT = 200


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
    source = random.SystemRandom()
    for name in names:
        tries = (source.choice(_RANGE) for _ in range(_TRIES_PER_PORT))
        chosen[name] = next(port for port in tries if port not in chosen.values() and port_is_free(port))
    return chosen
