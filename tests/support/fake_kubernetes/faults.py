"""Faults at chosen calls: a failure instead of the call, an answer that is lost, a connection that goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Call", "Fault", "FaultPlan"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a client. ``number`` counts the calls of its token from 1; discovery is not counted."""

    number: int
    token: str
    verb: str
    resource: str
    namespace: str
    name: str
    dry_run: bool = False


@dataclass(slots=True)
class Fault:
    """What goes wrong, at which calls, and how often. ``lose_answer`` carries the call out and cuts the connection;
    ``cut`` cuts it before; else the code is answered and nothing is carried out."""

    kind: Literal["code", "cut", "lose_answer", "hang"] = "code"
    code: int = 500
    message: str = "a fault of the test"
    verb: str | None = None
    resource: str | None = None
    at: int | None = None
    times: int = 1
    retry_after_s: int | None = None
    when: Callable[[Call], bool] = lambda _call: True

    def meets(self, call: Call) -> bool:
        """Whether this call is the one."""
        return (
            self.times > 0
            and self.verb in (None, call.verb)
            and self.resource in (None, call.resource)
            and self.at in (None, call.number)
            and self.when(call)
        )


@dataclass(slots=True)
class FaultPlan:
    """The faults that wait for their call, and what happened."""

    waiting: list[Fault] = field(default_factory=list)
    struck: list[tuple[Call, Fault]] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        """Let something go wrong."""
        self.waiting.append(fault)
        return fault

    def take(self, call: Call) -> Fault | None:
        """The fault of a call."""
        for fault in self.waiting:
            if fault.meets(call):
                fault.times -= 1
                self.struck.append((call, fault))
                return fault
        return None
