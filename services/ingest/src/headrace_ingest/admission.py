"""Admission by bytes: what may be in memory at once, from the first byte of a body to the answer (rule A3)."""

from __future__ import annotations

from headrace_ingest.refusals import Refusal, RefusalCode

__all__ = ["Admission", "Ticket"]


class Admission:
    """Counts the bytes of all requests under way against ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.bytes_in_flight = 0

    def ticket(self) -> Ticket:
        """What one request holds; nothing yet."""
        return Ticket(self)

    def take(self, amount: int) -> None:
        """Raises Refusal (overloaded) where the bytes do not fit."""
        if self.bytes_in_flight + amount > self._limit_bytes:
            raise Refusal(RefusalCode.OVERLOADED)
        self.bytes_in_flight += amount

    def give_back(self, amount: int) -> None:
        """Undo ``take``."""
        self.bytes_in_flight -= amount


class Ticket:
    """The bytes that one request holds; ``release`` gives all of them back, once."""

    __slots__ = ("_admission", "held")

    def __init__(self, admission: Admission) -> None:
        self._admission, self.held = admission, 0

    def grow_to(self, amount: int) -> None:
        """Hold ``amount`` bytes, or what is held already where that is more. Raises Refusal (overloaded)."""
        more = amount - self.held
        if more > 0:
            self._admission.take(more)
            self.held = amount

    def release(self) -> None:
        """The request is answered."""
        held, self.held = self.held, 0
        self._admission.give_back(held)
