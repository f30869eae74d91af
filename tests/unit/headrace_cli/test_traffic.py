"""The generator's promises: repeatable bytes, the stated shares, and fates that really come true."""

from __future__ import annotations

from collections import Counter

import pytest

from headrace_cli.traffic import Channel, Fate, TrafficEvent, generate
from headrace_core.dialects import parse
from headrace_core.identify import identify
from headrace_core.meta import RequestMeta
from headrace_core.normalise import normalise
from headrace_core.parsed import Rejected

EVENTS = 12_000
UNTIL_MS = 1_790_000_000_000


@pytest.fixture(scope="module")
def traffic() -> list[TrafficEvent]:
    return list(generate(seed=7, events=EVENTS, until_ms=UNTIL_MS))


def test_a_seed_gives_the_same_events(traffic: list[TrafficEvent]) -> None:
    assert list(generate(seed=7, events=500, until_ms=UNTIL_MS)) == traffic[:500]
    assert list(generate(seed=8, events=500, until_ms=UNTIL_MS)) != traffic[:500]


def test_shares_are_those_of_the_mission(traffic: list[TrafficEvent]) -> None:
    fates = Counter(event.fate for event in traffic)
    assert 0.13 < fates[Fate.DUPLICATE] / EVENTS < 0.17
    assert 0.002 < fates[Fate.QUARANTINED] / EVENTS < 0.008
    incomplete = sum(b'"user_id":null' in e.body or b'"user_id":"' + b'"' in e.body for e in traffic)
    assert incomplete > 0


def _outcomes(traffic: list[TrafficEvent]) -> Counter[Fate]:
    """What the project's own rules make of the traffic, one event after the other."""
    seen: dict[bytes, int] = {}
    outcomes: Counter[Fate] = Counter()
    for number, event in enumerate(traffic):
        dialect = "native" if event.channel is Channel.NATIVE else "segment"
        meta = RequestMeta(
            source="web", dialect=dialect, path="/", received_at=UNTIL_MS, request_id=f"r{number}"
        )
        try:
            parsed = parse(event.body, meta, {})
            found = identify(parsed, meta, 0, None)
            normalise(parsed, found, meta, None, src_partition=0, src_offset=number)
        except Rejected:
            outcomes[Fate.QUARANTINED] += 1
            continue
        first = seen.setdefault(found.dedup_id, number)
        if first == number:
            outcomes[Fate.ACCEPTED] += 1
            seen[found.dedup_id] = number
            seen[found.dedup_id + b"fingerprint"] = found.fingerprint
        elif seen[found.dedup_id + b"fingerprint"] == found.fingerprint:
            outcomes[Fate.DUPLICATE] += 1
        else:
            outcomes[Fate.QUARANTINED] += 1
    return outcomes


def test_fates_come_true_under_the_projects_own_rules(traffic: list[TrafficEvent]) -> None:
    sent = [event for event in traffic if event.channel is not Channel.SDK]
    assert _outcomes(sent) == Counter(event.fate for event in sent)
