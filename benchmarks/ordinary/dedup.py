"""``python -m benchmarks.ordinary.dedup``: one record at a time, a set of ids, parsed and written again with json."""

import asyncio
import json
import os
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

__all__ = ["IN_TOPIC", "OUT_TOPIC"]

IN_TOPIC = "bench.raw"
OUT_TOPIC = "bench.clean"


async def _run(bootstrap: str) -> None:
    consumer = AIOKafkaConsumer(
        IN_TOPIC, bootstrap_servers=bootstrap, group_id="bench-ordinary", auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await consumer.start()
    await producer.start()
    seen: set[str] = set()
    async for record in consumer:
        event = json.loads(record.value)
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        time = datetime.fromisoformat(event["time"])
        event["event_ts"] = time.timestamp()
        event["received_ts"] = datetime.now(UTC).isoformat()
        event["user_key"] = event.get("user_id") or event.get("anonymous_id")
        event["page_url"] = event["context"]["page"]["url"]
        event["revenue"] = event["properties"].get("revenue")
        event["schema_version"] = 1
        await producer.send(OUT_TOPIC, json.dumps(event).encode(), key=record.key)


if __name__ == "__main__":
    asyncio.run(_run(os.environ["HEADRACE_KAFKA_BOOTSTRAP"]))
