"""Rule L2 on a day: the transform against a plain greedy decision, and against the load's."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import NamedTuple

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it
from tests.support.spark_rows import DAY, at, lake_rows, rows_of

from headrace_core.copies import Copy, settle
from headrace_spark.transforms.dedup import DEDUP_COLUMNS, Strategy, deduplicate

_STRATEGIES: tuple[Strategy, ...] = ("broadcast", "hash")
_SEED = 20_260_329
_APART = 1_000
"""Between the source offsets of two identities: a source position is one record's."""


class _Row(NamedTuple):
    """A copy: which identity, days beside DAY, source position, file."""

    identity: int
    day: int
    partition: int
    offset: int
    file_id: int = 1


def _frames(spark: SparkSession, copies: Iterable[_Row]) -> tuple[DataFrame, DataFrame]:
    """Rows of the day, and those beside it."""
    frame = lake_rows(
        spark,
        [
            {
                "dedup_id": f"{copy.identity:032x}",
                "event_ts": at("12:00", copy.day),
                "src_partition": copy.partition,
                "src_offset": copy.offset + _APART * copy.identity,
                "file_id": copy.file_id,
                "properties": f'{{"day":{copy.day}}}',
            }
            for copy in copies
        ],
    )
    rows, beside = (
        frame.where(F.col("event_date") == F.lit(DAY)),
        frame.where(F.col("event_date") != F.lit(DAY)),
    )
    return rows, beside.select(*DEDUP_COLUMNS)


def _kept(
    spark: SparkSession,
    copies: Iterable[_Row],
    strategy: Strategy = "broadcast",
    hash_of: Callable[[str], Column] = F.xxhash64,
) -> set[_Row]:
    rows, beside = _frames(spark, copies)
    kept = deduplicate(rows, beside, DAY, strategy=strategy, hash_of=hash_of)
    assert kept.columns == rows.columns
    found = [
        _Row(
            identity := int(row["dedup_id"], 16),
            0,
            row["src_partition"],
            row["src_offset"] - _APART * identity,
            row["file_id"],
        )
        for row in rows_of(kept)
    ]
    assert len(found) == len(set(found))
    return set(found)


def _greedy(copies: Iterable[_Row]) -> set[_Row]:
    """Of copies in the order of their positions each stays unless one that stays is within a day."""
    stay: defaultdict[int, list[_Row]] = defaultdict(list)
    for copy in sorted(copies, key=lambda copy: (copy.partition, copy.offset, copy.file_id, copy.day)):
        if all(abs(copy.day - other.day) > 1 for other in stay[copy.identity]):
            stay[copy.identity].append(copy)
    return {copy for kept in stay.values() for copy in kept if copy.day == 0}


def _random_copies(identities: int) -> list[_Row]:
    chance = random.Random(_SEED)
    copies = []
    for identity in range(identities):
        places = chance.sample(range(12), chance.randint(1, 8))
        copies += [_Row(identity, chance.choice((-2, -1, 0, 0, 1, 2)), place % 2, place) for place in places]
    return copies


def _one_hash(_: str) -> Column:
    return F.lit(7).cast("long")


def _few_hashes(name: str) -> Column:
    return F.pmod(F.xxhash64(name), F.lit(5))


@pytest.mark.parametrize("strategy", _STRATEGIES)
def test_random_histories_give_what_a_greedy_decision_gives(spark: SparkSession, strategy: Strategy) -> None:
    copies = _random_copies(400)
    expected = _greedy(copies)
    assert 0 < len(expected) < sum(copy.day == 0 for copy in copies)
    assert _kept(spark, copies, strategy) == expected


@pytest.mark.parametrize("hash_of", [_one_hash, _few_hashes])
def test_ids_that_collide_lose_no_row(spark: SparkSession, hash_of: Callable[[str], Column]) -> None:
    copies = _random_copies(60)
    assert _kept(spark, copies, hash_of=hash_of) == _greedy(copies)


def test_the_load_decides_alike(spark: SparkSession) -> None:
    """Copies of the table and staged ones of the load, in any mixture, are to the transform copies of one kind."""
    chance = random.Random(_SEED + 1)
    copies, expected = [], set[_Row]()
    for identity in range(200):
        stored = [
            _Row(identity, day, 0, chance.randrange(100), 1)
            for day in chance.choice(((0,), (-2, 0), (1,), ()))
        ]
        staged = [_Row(identity, chance.choice((-1, 0, 1)), 0, 100 + place, 2) for place in range(3)]
        staged += [
            _Row(identity, chance.choice((-1, 0, 1)), 0, -1 - place, 3)
            for place in range(chance.randrange(2))
        ]
        as_copies = {
            Copy(str(identity), DAY + timedelta(days=row.day), (row.partition, row.offset), row.file_id): row
            for row in stored + staged
        }
        settled = settle([c for c in as_copies if c.file_id > 1], [c for c in as_copies if c.file_id == 1])
        stays = {*settled.absent, *(c for c in as_copies if c.file_id == 1)} - set(settled.displaced)
        expected |= {as_copies[copy] for copy in stays if copy.event_date == DAY}
        copies += stored + staged
    assert _kept(spark, copies) == expected


_CASES: dict[str, tuple[list[_Row], set[_Row]]] = {
    "alone": ([_Row(0, 0, 0, 5)], {_Row(0, 0, 0, 5)}),
    "the lowest of a day": ([_Row(1, 0, 1, 1), _Row(1, 0, 0, 9)], {_Row(1, 0, 0, 9)}),
    "a lower one the day before": ([_Row(2, -1, 0, 1), _Row(2, 0, 0, 2)], set()),
    "a lower one the day after": ([_Row(3, 1, 0, 1), _Row(3, 0, 0, 2)], set()),
    "a higher one the day before": ([_Row(4, -1, 0, 3), _Row(4, 0, 0, 2)], {_Row(4, 0, 0, 2)}),
    "the day before goes itself": (
        [_Row(5, -2, 0, 1), _Row(5, -1, 0, 2), _Row(5, 0, 0, 3)],
        {_Row(5, 0, 0, 3)},
    ),
    "the day before stays though two days before is higher": (
        [_Row(6, -2, 0, 9), _Row(6, -1, 0, 2), _Row(6, 0, 0, 3)],
        set(),
    ),
    "two days apart are two rows": ([_Row(7, -2, 0, 1), _Row(7, 0, 0, 3)], {_Row(7, 0, 0, 3)}),
    "one position in two files": ([_Row(8, 0, 0, 1, 4), _Row(8, 0, 0, 1, 3)], {_Row(8, 0, 0, 1, 3)}),
    "one position on two days": ([_Row(9, 0, 0, 1), _Row(9, -1, 0, 1)], set()),
    "one position on two days, seen from the first": (
        [_Row(10, 0, 0, 1), _Row(10, 1, 0, 1)],
        {_Row(10, 0, 0, 1)},
    ),
    "days further away do not count": ([_Row(11, 2, 0, 1), _Row(11, 0, 0, 2)], {_Row(11, 0, 0, 2)}),
    "the day after goes itself": (
        [_Row(12, 2, 0, 1), _Row(12, 1, 0, 2), _Row(12, 0, 0, 3)],
        {_Row(12, 0, 0, 3)},
    ),
    "the day after stays though two days after is higher": (
        [_Row(13, 2, 0, 9), _Row(13, 1, 0, 2), _Row(13, 0, 0, 3)],
        set(),
    ),
}


@pytest.mark.parametrize("strategy", _STRATEGIES)
def test_named_cases(spark: SparkSession, strategy: Strategy) -> None:
    kept = _kept(spark, [copy for copies, _ in _CASES.values() for copy in copies], strategy)
    for number, (name, (_, expected)) in enumerate(_CASES.items()):
        assert {copy for copy in kept if copy.identity == number} == expected, name


@pytest.mark.parametrize("strategy", _STRATEGIES)
def test_a_file_that_is_read_twice_stops_the_job(spark: SparkSession, strategy: Strategy) -> None:
    with pytest.raises(PySparkException, match="reads the record of one source position twice"):
        _kept(spark, [_Row(0, 0, 0, 5), _Row(0, 0, 0, 5)], strategy)


def test_wide_rows_are_not_shuffled(spark: SparkSession) -> None:
    rows, beside = _frames(spark, _random_copies(20))
    kept = deduplicate(rows, beside, DAY)
    kept.collect()
    plan = kept._jdf.queryExecution().executedPlan().toString()
    executed = plan.partition("== Initial Plan ==")[0]
    exchanges = re.findall(r"(?<!Reused)Exchange hashpartitioning\((\w+)#", executed)
    assert sorted(exchanges) == ["dedup_id", "id_hash"], "of the few copies, and of all hashes"
    assert "Python" not in executed
