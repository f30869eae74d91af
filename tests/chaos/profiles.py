"""Ways to bias the adversary: the default one, and those that make the guards' tests find their violation soon."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from tests.chaos.settings import Settings

__all__ = ["PROFILES"]

_DAYS = Settings(
    "days",
    days=0.5,
    long_pause=0.02,
    produce=0.15,
    time=0.04,
    load=0.5,
    steps=(250, 400),
    rules=False,
    upstream=False,
    burst=4,
    notice=0.15,
    loader_crash=0.01,
    suppressions=0,
    clock=0.0,
    ids=24,
    damage=0.01,
    torn=0.15,
    collect=0.0,
)

_ALL = (
    Settings("default", archives=0.2),
    Settings("loads", produce=0.08, time=0.1, load=0.3, ids=4, rare=0.12, rules=False),
    Settings("resends", produce=0.1, time=0.14, ids=3, rules=False),
    Settings(
        "repairs", produce=0.1, time=0.14, load=0.3, ids=2, damage=0.1, rare=0.01, suppressions=0, rules=False
    ),
    Settings(
        "restarts",
        produce=0.15,
        load=0.16,
        steps=(700,),
        time=0.02,
        damage=0.04,
        loaders=1,
        loader_crash=0.06,
        suppressions=0,
        rules=False,
    ),
    Settings("orphans", time=0.15, collect=0.05, load=0.02, damage=0.0, rules=False),
    Settings("rebuilds", clock=0.0, time=0.02, long_pause=0.0, steps=(150, 400), lose_index=True),
    Settings("deploys", produce=0.08, ids=4, time=0.02, load=0.02, rare=0.08, damage=0.0),
    Settings(
        "clocks",
        produce=0.2,
        time=0.15,
        load=0.01,
        clock=0.06,
        damage=0.0,
        rare=0.0,
        ids=2,
        window_ms=8 * 3_600_000,
        rules=False,
    ),
    _DAYS,
    replace(_DAYS, profile="copies", ids=5, window_ms=6 * 3_600_000, damage=0.03, rare=0.06),
    replace(_DAYS, profile="erasures", ids=60, users=30, days_back=8, erasures=8, unanswered=0.25),
    replace(
        _DAYS,
        profile="reprocesses",
        ids=24,
        users=8,
        erasures=1,
        reprocess=0.5,
        load=0.3,
        unique=True,
        window_ms=10**11,
        damage=0.015,
    ),
    Settings(
        "edges", produce=0.12, time=0.12, load=0.03, ids=3, rare=0.03, window_ms=6 * 3_600_000, rules=False
    ),
)

PROFILES = MappingProxyType({settings.profile: settings for settings in _ALL})
