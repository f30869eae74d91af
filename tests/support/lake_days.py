"""Days of the lake that tests put together by hand."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.lake import Generation, LakeFile, PlanId
from headrace_core.paths import lake_prefix
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.lake_store import LakeStore

__all__ = ["put_user_day"]

_DEADLINE_S = 30.0


async def put_user_day(store: ObjectStore, date: str, run: str, parts: Sequence[int]) -> None:
    """The first generation of a day, whose user_day has files of so many rows."""
    lake = LakeStore(store, deadline_s=_DEADLINE_S)
    files = []
    for number, rows in enumerate(parts):
        sink = io.BytesIO()
        pq.write_table(pa.table({"user_key": [f"{date}-{number}-{at}" for at in range(rows)]}), sink)
        key = f"{lake_prefix('user_day', date, run)}part-{number}.parquet"
        await store.put(key, sink.getvalue(), deadline_s=_DEADLINE_S)
        files.append(LakeFile(key=key, rows=rows, bytes=len(sink.getvalue()), sha256="0" * 64))
    made = Generation(
        id=PlanId(run=run, attempt=1, plan=1),
        job="daily",
        event_date=date,
        tables={"user_day": tuple(files)},
        made_ms=1,
    )
    assert await lake.swap(date, None, await lake.store_generation(made), now_ms=1) == 1
