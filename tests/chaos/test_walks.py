"""Effectively once over many seeds: no invariant is violated, whatever the adversary does.

`HEADRACE_CHAOS_SEEDS` sets how many seeds are played (default 2,000); `HEADRACE_CHAOS_FIRST` where they start.
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


@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _SEEDS, _CHUNK))
def test_effectively_once(first: int) -> None:
    base = PROFILES["default"]
    found = failures(replace(base, seed=seed) for seed in range(first, min(first + _CHUNK, _FIRST + _SEEDS)))
    assert not found, "\n".join(found)
