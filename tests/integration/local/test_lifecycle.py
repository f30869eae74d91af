"""A folder keeps its data and endpoints over every start, and has one owner at a time."""

import asyncio
import os
import socket
from pathlib import Path

import msgspec
import pytest
from tests.support.stack_marks import MARKED, leave_marks, marks_of

from headrace_local.assembly import port_names
from headrace_local.errors import PortTakenError, StackInUseError, StackMismatchError
from headrace_local.stack import LocalStack
from headrace_local.state import load_state, new_state, save_state


@pytest.fixture
def closed_folder(stack_folder: Path) -> Path:
    """A folder that only its owner may pass, as a home is."""
    stack_folder.chmod(0o700)
    return stack_folder


async def test_a_restart_keeps_data_and_endpoints(stack_folder: Path) -> None:
    async with LocalStack(stack_folder) as first:
        await leave_marks(first.endpoints)
    async with LocalStack(stack_folder) as second:
        assert second.endpoints == first.endpoints
        assert await marks_of(second.endpoints) == MARKED


async def test_a_folder_in_use_is_refused_and_left_alone(fresh_stack: LocalStack) -> None:
    with pytest.raises(StackInUseError, match=f"process {os.getpid()} "):
        async with LocalStack(fresh_stack.root):
            pass
    assert all(server.alive for server in fresh_stack.servers.values())


async def test_two_stacks_at_once_share_nothing(stack_folder: Path) -> None:
    stacks = [LocalStack(stack_folder / name) for name in ("a", "b")]
    await asyncio.gather(*(stack.__aenter__() for stack in stacks))
    try:
        a, b = (stack.endpoints for stack in stacks)
        await leave_marks(a)
        assert await marks_of(a) == MARKED
        assert a.kafka_cluster_id != b.kafka_cluster_id
        assert {a.kafka_bootstrap, a.s3_endpoint, a.postgres_dsn}.isdisjoint(
            {b.kafka_bootstrap, b.s3_endpoint, b.postgres_dsn}
        )
        await leave_marks(b)
        assert await marks_of(b) == MARKED
    finally:
        await asyncio.gather(*(stack.__aexit__(None, None, None) for stack in stacks))


async def test_the_number_of_brokers_is_fixed(stack_folder: Path) -> None:
    save_state(stack_folder, new_state(3, port_names(3)))
    with pytest.raises(StackMismatchError, match="created with 3"):
        async with LocalStack(stack_folder):
            pass


async def test_a_first_start_gives_way_to_a_port_that_was_taken(stack_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        wanted = new_state(1, port_names(1))
        taken = foreign.getsockname()[1]
        save_state(
            stack_folder, msgspec.structs.replace(wanted, ports={**wanted.ports, "postgres/sql": taken})
        )
        async with LocalStack(stack_folder) as stack:
            await leave_marks(stack.endpoints)
            assert await marks_of(stack.endpoints) == MARKED
        kept = load_state(stack_folder)
    assert kept is not None
    assert taken not in kept.ports.values()


async def test_a_later_start_keeps_its_ports_and_names_the_one_that_is_taken(
    stack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_local.stack._PORTS_FREE_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        state = new_state(1, port_names(1))
        ports = {**state.ports, "s3/s3.port": foreign.getsockname()[1]}
        save_state(stack_folder, msgspec.structs.replace(state, ports=ports, settled=True))
        with pytest.raises(PortTakenError, match=r"s3/s3\.port"):
            async with LocalStack(stack_folder):
                pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
async def test_root_can_keep_a_stack_where_others_may_not_look(closed_folder: Path) -> None:
    async with LocalStack(closed_folder / "inside") as stack:
        await leave_marks(stack.endpoints)
        assert await marks_of(stack.endpoints) == MARKED
