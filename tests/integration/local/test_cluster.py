"""Three brokers: replicated, writable while one is away, whole again when it is back."""

from pathlib import Path

from tests.support.stack_marks import create_topic, put_kafka, read_kafka

from headrace_local.stack import LocalStack


async def test_a_cluster_of_three_goes_on_without_one_and_takes_it_back(stack_folder: Path) -> None:
    async with LocalStack(stack_folder, brokers=3) as stack:
        assert {"kafka-1", "kafka-2", "kafka-3"} < set(stack.servers)
        await create_topic(stack.endpoints)
        await put_kafka(stack.endpoints, "all three")
        stack.servers["kafka-2"].kill()
        await put_kafka(stack.endpoints, "two of three")
        await stack.servers["kafka-2"].start()
        stack.servers["kafka-3"].kill()
        # min.insync.replicas is 2: acknowledged only if the broker that came back is in sync again.
        await put_kafka(stack.endpoints, "the other two")
        assert await read_kafka(stack.endpoints) == ["all three", "two of three", "the other two"]
