"""The servers of the stack answer the clients that Headrace uses."""

import uuid

import obstore
import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from obstore.store import S3Store

from headrace_local.stack import LocalStack


async def test_kafka_returns_what_was_acknowledged(stack: LocalStack) -> None:
    topic = f"local-{uuid.uuid4().hex}"
    bootstrap = stack.endpoints.kafka_bootstrap
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        sent = await producer.send_and_wait(topic, b"an event", partition=0)
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        record = await consumer.getone()
    assert (record.offset, record.value) == (sent.offset, b"an event")


async def test_s3_returns_what_was_put(stack: LocalStack) -> None:
    ends = stack.endpoints
    store = S3Store(
        ends.s3_bucket,
        endpoint=ends.s3_endpoint,
        access_key_id=ends.s3_access_key,
        secret_access_key=ends.s3_secret_key,
        region=ends.s3_region,
        client_options={"allow_http": True},
    )
    key = f"local/{uuid.uuid4().hex}"
    await obstore.put_async(store, key, b"an object")
    answer = await obstore.get_async(store, key)
    assert bytes(await answer.bytes_async()) == b"an object"


async def test_postgres_is_version_18_in_utc_with_fsync(stack: LocalStack) -> None:
    async with await psycopg.AsyncConnection.connect(stack.endpoints.postgres_dsn) as connection:
        cursor = await connection.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('TimeZone'), "
            "current_setting('fsync'), current_database()"
        )
        assert await cursor.fetchone() == (18, "UTC", "on", "headrace")
