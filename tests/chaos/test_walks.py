"""Effectively once over many seeds: no invariant is violated, whatever the adversary does.

`HEADRACE_CHAOS_SEEDS` sets how many seeds are played (default 2,000); `HEADRACE_CHAOS_FIRST` where they start. Runs with
lake days are a tenth as many: they are longer.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from tests.chaos.profiles import PROFILES
from tests.chaos.runs import failures

_SEEDS = int(os.environ.get("HEADRACE_CHAOS_SEEDS", "2000"))
_FIRST = int(os.environ.get("HEADRACE_CHAOS_FIRST", "0"))
_CHUNK = 50
_DAY_PROFILES = ("copies", "days", "erasures", "reprocesses")
_DAY_CHUNK = 25


def _found(profile: str, first: int, end: int) -> list[str]:
    return failures(replace(PROFILES[profile], seed=seed) for seed in range(first, end))


@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _SEEDS, _CHUNK))
def test_effectively_once(first: int) -> None:
    found = _found("default", first, min(first + _CHUNK, _FIRST + _SEEDS))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("profile", sorted(PROFILES.keys() - {"default", "rebuilds", *_DAY_PROFILES}))
def test_effectively_once_under_every_bias(profile: str) -> None:
    found = _found(profile, _FIRST, _FIRST + _SEEDS // 100)
    assert not found, "\n".join(found)


def test_a_lost_index_is_built_again() -> None:
    found = _found("rebuilds", _FIRST, _FIRST + _SEEDS // 20)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("first", range(_FIRST, _FIRST + max(1, _SEEDS // 40), _DAY_CHUNK))
@pytest.mark.parametrize("profile", _DAY_PROFILES)
def test_days_end_as_a_clean_single_run(profile: str, first: int) -> None:
    """Whatever came in which order: dailies, late data, reprocesses, undos, erasures, and drivers that died of it."""
    found = _found(profile, first, min(first + _DAY_CHUNK, _FIRST + max(1, _SEEDS // 40)))
    assert not found, "\n".join(found)
