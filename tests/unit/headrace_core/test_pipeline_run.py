"""The spec of a run: what is accepted, and that a refusal says which rule is broken."""

from __future__ import annotations

import pytest

from headrace_core.errors import BadData
from headrace_core.pipeline_run import (
    JOBS,
    Interval,
    RunSpec,
    check_run_name,
    decode_spec,
    encode_run,
)


def test_a_spec_survives_its_json() -> None:
    spec = RunSpec(job="daily", date="2026-11-28", dry_run=True)
    assert decode_spec(encode_run(spec)) == spec


def test_json_is_camel_case_and_omits_defaults() -> None:
    assert encode_run(RunSpec(job="daily", date="2026-11-28", dry_run=True)) == (
        b'{"job":"daily","date":"2026-11-28","dryRun":true}'
    )


def test_an_interval_is_half_open() -> None:
    spec = RunSpec(job="quality", interval=Interval(start="2026-11-28", end="2026-12-01"))
    assert [str(day) for day in spec.days()] == ["2026-11-28", "2026-11-29", "2026-11-30"]


def test_jobs_that_find_their_days_need_none() -> None:
    assert decode_spec(b'{"job":"retention"}').days() == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "truncated"),
        ('{"job":"weekly"}', "Invalid enum value 'weekly'"),
        ('{"job":"daily","date":"2026-11-28","image":"x"}', "unknown field `image`"),
        ('{"job":"daily"}', "daily needs a date or an interval"),
        ('{"job":"daily","date":"28.11.2026"}', "$.date"),
        ('{"job":"daily","date":"2026-02-30"}', "day"),
        (
            '{"job":"daily","date":"2026-11-28","interval":{"start":"2026-11-28","end":"2026-11-29"}}',
            "exclude",
        ),
        ('{"job":"daily","interval":{"start":"2026-11-28","end":"2026-11-28"}}', "1 to 62 days"),
        ('{"job":"daily","interval":{"start":"2026-01-01","end":"2026-11-28"}}', "1 to 62 days"),
        ('{"job":"daily","date":"2026-11-28","compact":{}}', "parameters of compact"),
        ('{"job":"compact","compact":{"targetBytes":1}}', "$.compact.targetBytes"),
        ('{"job":"erase"}', "erase needs its parameters"),
        ('{"job":"retention","retention":{"stagedDays":31}}', "$.retention.stagedDays"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(BadData) as refused:
        decode_spec(text.encode())
    assert says in (refused.value.why or "")


@pytest.mark.parametrize("name", ["", "Daily", "-daily", "daily-", "a" * 64, "a.b", "a/b"])
def test_a_run_name_is_a_dns_label(name: str) -> None:
    with pytest.raises(BadData):
        check_run_name(name)


def test_every_job_has_a_block_in_the_spec() -> None:
    assert set(JOBS) <= set(RunSpec.__struct_fields__)
