"""What a stack keeps: ports, credentials, and where that puts its endpoints."""

import stat
from pathlib import Path

import pytest

from headrace_local.assembly import build_servers, endpoints_of, port_names
from headrace_local.errors import StackMismatchError
from headrace_local.state import STATE_FILE, load_state, new_state, save_state


@pytest.mark.parametrize("brokers", [1, 3])
def test_every_port_of_every_server_is_chosen_and_no_two_are_equal(brokers: int, tmp_path: Path) -> None:
    state = new_state(brokers, port_names(brokers))
    servers = build_servers(tmp_path, state, fast=True)
    used = [port for server in servers.values() for port in server.ports.values()]
    assert sorted(used) == sorted(state.ports.values())
    assert len(set(used)) == len(used)
    assert sorted(servers) == sorted([*(f"kafka-{n + 1}" for n in range(brokers)), "s3", "postgres"])


def test_the_state_is_kept_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    state = new_state(1, port_names(1))
    save_state(tmp_path, state)
    assert load_state(tmp_path) == state
    assert stat.S_IMODE((tmp_path / STATE_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"brokers": 1, "ports": {}, "unheard": 1}'])
def test_a_damaged_state_is_not_taken_for_a_new_stack(text: str, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text(text)
    with pytest.raises(StackMismatchError, match="start afresh"):
        load_state(tmp_path)


def test_two_states_share_no_secret() -> None:
    a, b = new_state(1, port_names(1)), new_state(1, port_names(1))
    assert a.kafka_cluster_id != b.kafka_cluster_id
    assert a.s3_secret_key != b.s3_secret_key
    assert a.postgres_password != b.postgres_password


def test_services_read_the_endpoints_from_their_settings() -> None:
    state = new_state(3, port_names(3))
    ends = endpoints_of(state)
    assert ends.kafka_bootstrap == ",".join(
        f"127.0.0.1:{state.ports[f'kafka-{n}/client']}" for n in (1, 2, 3)
    )
    assert ends.environment() == {
        "HEADRACE_KAFKA_BOOTSTRAP": ends.kafka_bootstrap,
        "HEADRACE_S3_ENDPOINT": f"http://127.0.0.1:{state.ports['s3/s3.port']}",
        "HEADRACE_S3_BUCKET": "lake",
        "HEADRACE_S3_ACCESS_KEY_ID": state.s3_access_key,
        "HEADRACE_S3_SECRET_ACCESS_KEY": state.s3_secret_key,
        "HEADRACE_S3_REGION": "us-east-1",
        "HEADRACE_WAREHOUSE_DSN": ends.postgres_dsn,
    }
