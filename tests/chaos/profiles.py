"""Ways to bias the adversary: the default one, and those that make the guards' tests find their violation soon."""

from __future__ import annotations

from types import MappingProxyType

from tests.chaos.settings import Settings

__all__ = ["PROFILES"]

_ALL = (
    Settings("default"),
    Settings("loads", produce=0.08, time=0.1, load=0.3, ids=4, rare=0.12, rules=False),
    Settings("resends", produce=0.1, time=0.14, ids=3, rules=False),
    Settings("repairs", produce=0.1, time=0.14, load=0.4, ids=2, rare=0.2, suppressions=0, rules=False),
    Settings(
        "edges", produce=0.12, time=0.12, load=0.03, ids=3, rare=0.03, window_ms=6 * 3_600_000, rules=False
    ),
)

PROFILES = MappingProxyType({settings.profile: settings for settings in _ALL})
