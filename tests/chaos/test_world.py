"""The simulation itself: it replays, it reaches what it claims to reach, and its ports keep their promises."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from tests.chaos.log import Network, SimulatedLog
from tests.chaos.profiles import PROFILES
from tests.chaos.runs import play
from tests.chaos.store import SimulatedStore

from headrace_core.topics import EVENTS_CLEAN

_ROOT = Path(__file__).parents[2]
_PLACE = (EVENTS_CLEAN.name, 0)


def _replayed(hash_seed: str, profile: str) -> str:
    command = [sys.executable, "-m", "tests.chaos.replay", "--seed", "7", "--profile", profile]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    result = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, check=True, timeout=120)
    return hashlib.sha256(result.stdout).hexdigest()


@pytest.mark.parametrize("profile", ["default", "reprocesses"])
def test_a_seed_replays_step_by_step_whatever_the_hash_seed(profile: str) -> None:
    assert _replayed("0", profile) == _replayed("1", profile)


def test_the_adversary_does_all_that_it_claims_to_do() -> None:
    done: Counter[str] = Counter()
    voids = late = 0
    for seed in range(60):
        world = play(replace(PROFILES["default"], seed=seed))
        done += world.events
        voids += sum(partition.voids for partition in world.oracle.partitions)
        late += world.network.late
    claimed = {
        "owner crashed",
        "owner asleep",
        "owner recovers",
        "append timed out",
        "deploy or rollback",
        "leader clock stepped",
        "pause of more than a day",
        "stager crashed",
        "loader crashed",
        "load tried again",
        "file released",
        "orphan collected",
        "subject suppressed",
    }
    assert not claimed - done.keys()
    assert voids > 0
    assert late > 0


def test_the_adversary_does_all_that_it_claims_to_do_to_days() -> None:
    done: Counter[str] = Counter()
    for profile in ("erasures", "reprocesses"):
        for seed in range(12):
            done += play(replace(PROFILES[profile], seed=seed)).events
    claimed = {
        "daily done",
        "driver crashed",
        "driver ran out of time",
        "driver: commit_unknown",
        "driver: file_torn",
        "driver: lost",
        "driver: store_down",
        "erasure asked for",
        "erasure closed",
        "reprocess done",
        "undo done",
    }
    assert not claimed - done.keys()


def test_of_one_sender_requests_land_in_order_and_what_is_lost_is_a_suffix() -> None:
    for seed in range(200):
        rng = Random(seed)
        log = SimulatedLog()
        network = Network(rng, log, lambda _: 0)
        sender = network.new_sender()
        heard: list[int] = []
        for number in range(6):
            network.send(sender, _PLACE, [(None, b"%d" % number, ())], heard.append)
        for _ in range(rng.randrange(40)):
            network.deliver()
        network.abandon(sender)
        told = len(heard)
        while not network.idle:
            network.deliver(hurry=True)
        landed = [int(record.value) for record in log.all(_PLACE)]
        assert landed == list(range(len(landed)))
        assert len(heard) == told <= len(landed)


def test_of_two_creates_one_wins_also_when_one_is_late() -> None:
    store = SimulatedStore(Random(0))
    for _ in range(20):
        store.send_late("k", b"late", create_only=True)
    assert store.create("k", b"first")
    landed = [store.land_one() for _ in range(20)]
    assert any(landed)
    assert store.get("k") == b"first"


def test_a_replacement_lands_only_on_what_its_sender_saw() -> None:
    store = SimulatedStore(Random(0))
    store.put("k", b"first")
    seen = store.etag("k")
    assert seen is not None
    for _ in range(20):
        store.send_late("k", b"late", create_only=False, etag=seen)
    assert store.replace("k", b"second", seen)
    assert not store.replace("k", b"third", seen)
    landed = [store.land_one() for _ in range(20)]
    assert any(landed)
    assert store.get("k") == b"second"
