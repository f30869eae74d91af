"""``python -m benchmarks.ordinary.stage``: dictionaries to a table to Parquet with the library's defaults, one put a file."""

import asyncio
import os
from typing import Any

import obstore
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka import AIOKafkaConsumer
from obstore.store import S3Store

__all__ = ["PREFIX", "TOPIC"]

TOPIC = "bench.stage"
PREFIX = "ordinary/"
_FILE_ROWS = 12_000


async def _run() -> None:
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=os.environ["HEADRACE_KAFKA_BOOTSTRAP"],
        group_id="bench-ordinary",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    store = S3Store(
        os.environ["HEADRACE_S3_BUCKET"],
        endpoint=os.environ["HEADRACE_S3_ENDPOINT"],
        region=os.environ["HEADRACE_S3_REGION"],
        access_key_id=os.environ["HEADRACE_S3_ACCESS_KEY_ID"],
        secret_access_key=os.environ["HEADRACE_S3_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
    )
    await consumer.start()
    rows: list[dict[str, Any]] = []
    number = 0
    while True:
        fetched = await consumer.getmany(timeout_ms=500)
        for records in fetched.values():
            rows += [orjson.loads(record.value) for record in records]
        while len(rows) >= _FILE_ROWS:
            part, rows = rows[:_FILE_ROWS], rows[_FILE_ROWS:]
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_pylist(part), sink)
            await obstore.put_async(
                store, f"{PREFIX}part-{number:06d}-{len(part)}.parquet", bytes(sink.getvalue())
            )
            number += 1
            await consumer.commit()


if __name__ == "__main__":
    asyncio.run(_run())
