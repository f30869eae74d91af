"""Leaves one mark on each server of a stack and finds it again: what a restart must not lose."""

from collections.abc import Mapping

import obstore
import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from obstore.store import S3Store

from headrace_local.endpoints import Endpoints

__all__ = ["MARKED", "create_topic", "leave_marks", "marks_of", "put_kafka", "read_kafka"]

_TOPIC = "marks"
_KEY = "marks/one"
MARKED: Mapping[str, list[str]] = {"kafka": ["one"], "s3": ["one"], "postgres": ["one"]}
"""What `marks_of` says of a stack that `leave_marks` has been to once."""


async def leave_marks(ends: Endpoints) -> None:
    """Write one record, one object and one row, each acknowledged."""
    await create_topic(ends)
    await put_kafka(ends, "one")
    await obstore.put_async(_store(ends), _KEY, b"one")
    async with await psycopg.AsyncConnection.connect(ends.postgres_dsn, connect_timeout=10) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS marks (value text)")
        await connection.execute("INSERT INTO marks VALUES ('one')")


async def marks_of(ends: Endpoints) -> dict[str, list[str]]:
    """The marks that each server holds, by the name of its kind."""
    answer = await obstore.get_async(_store(ends), _KEY)
    async with await psycopg.AsyncConnection.connect(ends.postgres_dsn, connect_timeout=10) as connection:
        rows = await (await connection.execute("SELECT value FROM marks")).fetchall()
    return {
        "kafka": await read_kafka(ends),
        "s3": [bytes(await answer.bytes_async()).decode()],
        "postgres": [str(row[0]) for row in rows],
    }


async def create_topic(ends: Endpoints) -> None:
    """Create the topic with a replica on each broker; no harm if it exists."""
    brokers = ends.kafka_bootstrap.count(",") + 1
    admin = AIOKafkaAdminClient(bootstrap_servers=ends.kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(_TOPIC, num_partitions=1, replication_factor=brokers)])
    finally:
        await admin.close()


async def put_kafka(ends: Endpoints, value: str) -> None:
    """Write one record with acks=all to the topic that `create_topic` made."""
    async with AIOKafkaProducer(
        bootstrap_servers=ends.kafka_bootstrap, acks="all", enable_idempotence=True
    ) as producer:
        await producer.send_and_wait(_TOPIC, value.encode(), partition=0)


async def read_kafka(ends: Endpoints) -> list[str]:
    """All records of the topic from its first to its end."""
    partition = TopicPartition(_TOPIC, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=ends.kafka_bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        return [(await consumer.getone()).value.decode() for _ in range(end)]


def _store(ends: Endpoints) -> S3Store:
    return S3Store(
        ends.s3_bucket,
        endpoint=ends.s3_endpoint,
        access_key_id=ends.s3_access_key,
        secret_access_key=ends.s3_secret_key,
        region=ends.s3_region,
        client_options={"allow_http": True},
    )
