"""An undo needs the files of the generation before."""

from __future__ import annotations

import pytest

from headrace_core.errors import UsageError
from headrace_core.lake import Generation, LakeFile, PlanId
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.kept_files import check_kept


async def test_a_file_that_is_gone_refuses_the_undo() -> None:
    store = MemoryObjectStore()
    files = tuple(LakeFile(key=f"lake/{name}", rows=1, bytes=1, sha256="") for name in "ab")
    made = Generation(
        id=PlanId(run="d", attempt=1, plan=1),
        job="daily",
        event_date="2026-11-20",
        tables={"events": files[:1], "user_day": files[1:]},
        made_ms=0,
    )
    for file in files:
        await store.put(file.key, b"x", deadline_s=1)
    await check_kept(store, made, deadline_s=1)
    await store.delete([files[1].key], deadline_s=1)
    with pytest.raises(UsageError, match="1 of its 2 files are gone, lake/b"):
        await check_kept(store, made, deadline_s=1)
