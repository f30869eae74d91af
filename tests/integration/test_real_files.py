"""Real files, replayed twice over in overlapping batches while every process is killed again and again.

At the end the warehouse holds exactly what plain Python reads from the files: no row missing, none twice, none foreign,
every value equal, and rollups equal to a recomputation.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from tests.support.expected_rows import ExpectedRow, online_retail_rows, sparkify_rows
from tests.support.hostile import Killer, RowSender, overlapping
from tests.support.shared_data import read_compressed, shared_data

from headrace_local.installation import SERVICES, Installation, InstallationSettings

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]

_ROOT = Path(__file__).parents[2]
_SEED = 20261125
_KILLS = dict.fromkeys(SERVICES, 5) | {"kafka-1": 2}
_SETTLED_WITHIN_S = 240.0

_COLUMNS = """
SELECT source, event_id, id_source, event_name, event_ts, ts_quality, original_timestamp, user_id, session_id,
       identity_status, properties::text, user_key, event_date, received_ts, dialect, event_type, is_late,
       schema_version, revenue, anonymous_id
FROM analytics.events
"""


@pytest.fixture
async def installation(stack_folder: Path) -> AsyncIterator[Installation]:
    """Everything up, with the two mappings deployed."""
    mappings = stack_folder / "mappings"
    mappings.mkdir()
    for name in ("online_retail", "sparkify"):
        shutil.copy(_ROOT / "mappings" / f"{name}.yaml", mappings)
    settings = InstallationSettings(partitions=4, cadence_s=2.0, sources=("online-retail", "sparkify"))
    async with Installation(stack_folder, settings) as running:
        yield running


async def _settle(installation: Installation) -> dict[str, Any]:
    """Wait until nothing is on its way; the counts then."""
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    async with httpx.AsyncClient(base_url=installation.api_url, timeout=10.0) as client:
        while True:
            counts: dict[str, Any] = (await client.get("/v1/counts")).json()
            if counts["settled"]:
                return counts
            assert time.monotonic() < deadline, counts["in_flight"]
            await asyncio.sleep(0.5)


def _expected() -> tuple[list[tuple[dict[str, Any], ExpectedRow]], list[tuple[dict[str, Any], ExpectedRow]]]:
    retail = shared_data("online_retail_uci") / "online-retail-2010-12.csv.zst"
    lines = sorted(shared_data("sparkify_log_data").glob("*.zst"))
    sparkify = list(itertools.chain.from_iterable(sparkify_rows(read_compressed(path)) for path in lines))
    return online_retail_rows(retail.stem, read_compressed(retail)), sparkify


async def test_the_warehouse_equals_the_files_whatever_dies(installation: Installation) -> None:
    retail, sparkify = _expected()
    assert (len(retail), len(sparkify)) == (42_481, 3_574)
    senders = await _replay_under_kills(installation, retail, sparkify)
    counts = await _settle(installation)

    assert counts["reconciles"], counts["checks"]
    assert counts["totals"]["accepted"] == len(retail) + len(sparkify)
    assert counts["totals"]["quarantined"] == counts["totals"]["refused"] == 0
    assert counts["totals"]["received"] >= sum(sender.acknowledged_rows for sender in senders)
    with psycopg.connect(installation.stack.endpoints.postgres_dsn) as connection:
        _assert_rows(connection, [expected for _, expected in retail + sparkify])
        _assert_rollups(connection)
        _assert_ledger(connection)


async def _replay_under_kills(
    installation: Installation,
    retail: Sequence[tuple[dict[str, Any], ExpectedRow]],
    sparkify: Sequence[tuple[dict[str, Any], ExpectedRow]],
) -> list[RowSender]:
    """Send everything at least twice, and on until all kills are done."""
    chance = random.Random(_SEED)
    killing = True
    senders = [
        RowSender(installation, "online-retail", "online_retail@1"),
        RowSender(installation, "sparkify", "sparkify@1"),
    ]

    async def send(sender: RowSender, rows: Sequence[tuple[dict[str, Any], ExpectedRow]]) -> None:
        passes = 0
        while passes < 2 or killing:
            await sender.send(overlapping([row for row, _ in rows], chance), connections=2)
            passes += 1

    killer = Killer(installation, chance)
    async with asyncio.TaskGroup() as tasks:
        for sender, rows in zip(senders, (retail, sparkify), strict=True):
            tasks.create_task(send(sender, rows))
        await killer.run(_KILLS)
        killing = False
    assert killer.kills == _KILLS
    return senders


def _assert_rows(connection: psycopg.Connection, expected: list[ExpectedRow]) -> None:
    stored: Counter[ExpectedRow] = Counter()
    for row in connection.execute(_COLUMNS):
        derived = row[2] == "derived"
        properties = json.dumps(json.loads(row[10]), sort_keys=True)
        found = ExpectedRow(*(row[0], None if derived else row[1], *row[2:10], properties))
        stored[found] += 1
        user_key = f"u:{found.user_id}" if found.user_id else f"e:{row[1]}"
        assert row[11:13] == (user_key, found.event_ts.date())
        assert row[13] > found.event_ts
        assert row[14:] == ("mapped", "track", True, 1, None, None)
    wanted = Counter(expected)
    assert not wanted - stored, f"missing: {list((wanted - stored).items())[:3]}"
    assert not stored - wanted, f"foreign or twice: {list((stored - wanted).items())[:3]}"


_ROLLUP_DIFFERENCE = """
WITH wanted AS (
  SELECT date_trunc('{unit}', event_ts, 'UTC') AS bucket_start, source, event_type, coalesce(event_name, '') AS event_name,
         coalesce(currency, '') AS currency, count(*) AS events, count(*) FILTER (WHERE is_late) AS late_events,
         count(revenue) AS revenue_events, coalesce(sum(revenue), 0) AS revenue, min(event_ts) AS min_event_ts,
         max(event_ts) AS max_event_ts
  FROM analytics.events GROUP BY 1, 2, 3, 4, 5),
stored AS (
  SELECT bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue,
         min_event_ts, max_event_ts
  FROM analytics.events_{unit})
SELECT count(*) FROM ((TABLE wanted EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE wanted)) AS difference
"""

_USER_DAY_DIFFERENCE = """
WITH wanted AS (
  SELECT event_date, user_key, source, count(*) AS events, min(event_ts) AS min_event_ts, max(event_ts) AS max_event_ts
  FROM analytics.events WHERE identity_status <> 'unresolved' GROUP BY 1, 2, 3),
stored AS (SELECT event_date, user_key, source, events, min_event_ts, max_event_ts FROM analytics.user_day)
SELECT count(*) FROM ((TABLE wanted EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE wanted)) AS difference
"""


def _number(connection: psycopg.Connection, sql: str) -> int:
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _assert_rollups(connection: psycopg.Connection) -> None:
    for unit in ("minute", "hour", "day"):
        assert _number(connection, f"SELECT count(*) FROM analytics.events_{unit}") > 0
        assert _number(connection, _ROLLUP_DIFFERENCE.format(unit=unit)) == 0, unit
    assert _number(connection, _USER_DAY_DIFFERENCE) == 0


def _assert_ledger(connection: psycopg.Connection) -> None:
    sums = "SELECT sum(rows_staged - rows_inserted - rows_present - rows_suppressed) FROM ops.load_ledger"
    assert _number(connection, sums) == 0
    inserted = _number(connection, "SELECT sum(rows_inserted) FROM ops.load_ledger")
    assert inserted == _number(connection, "SELECT count(*) FROM analytics.events")
