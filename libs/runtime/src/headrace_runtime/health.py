"""Health of a process: what it depends on, what is down and since when, and whether it still makes progress.

Ready means that the process takes work. Alive means that a restart would not help: a dependency that is down makes a
process unready, never dead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace_core.clock import Clock

__all__ = ["Component", "Health"]


@dataclass(frozen=True, slots=True)
class Component:
    """The state of one dependency or duty. ``since_ms`` is when it last changed."""

    name: str
    ok: bool
    since_ms: int
    reason: str = ""


class Health:
    """Collects the states of components and the watchdogs of loops that must make progress."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._components: dict[str, Component] = {}
        self._watchdogs: dict[str, Callable[[], str | None]] = {}

    def up(self, name: str) -> None:
        """The component works."""
        self._set(name, ok=True, reason="")

    def down(self, name: str, reason: str) -> None:
        """The component does not work; ``reason`` is for the person who reads /readyz."""
        self._set(name, ok=False, reason=reason)

    def forget(self, name: str) -> None:
        """The component is no duty of this process any more (a partition went to another owner)."""
        self._components.pop(name, None)

    def watch(self, name: str, stuck: Callable[[], str | None]) -> None:
        """``stuck`` says why a loop makes no progress though it could; None while all is well."""
        self._watchdogs[name] = stuck

    def _set(self, name: str, *, ok: bool, reason: str) -> None:
        before = self._components.get(name)
        since_ms = before.since_ms if before and before.ok == ok else self._clock.now_ms()
        self._components[name] = Component(name, ok, since_ms, reason)

    @property
    def components(self) -> tuple[Component, ...]:
        """All components by name."""
        return tuple(self._components[name] for name in sorted(self._components))

    @property
    def ready(self) -> bool:
        """Whether the process takes work: it has components and all of them work."""
        return bool(self._components) and all(component.ok for component in self._components.values())

    def stuck(self) -> dict[str, str]:
        """Reasons by watchdog of loops that make no progress; empty while the process is alive."""
        return {name: reason for name, check in self._watchdogs.items() if (reason := check()) is not None}
