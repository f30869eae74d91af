"""A server of the stack as the process of a pod: reachable from other pods, found by its advertised name."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_local.in_pod import PORTS, kafka_properties, main, postgres_command, s3_ports
from headrace_local.seaweed import PORT_FLAGS


def test_kafka_listens_for_other_pods_and_tells_them_its_name() -> None:
    properties = kafka_properties("headrace-dev-kafka", Path("/data/kafka"))
    assert properties["listeners"] == "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093"
    assert properties["advertised.listeners"] == "PLAINTEXT://headrace-dev-kafka:9092"
    assert properties["offsets.topic.replication.factor"] == 1


def test_postgres_listens_everywhere_on_its_port() -> None:
    command = postgres_command(Path("/pg/bin"), Path("/data/postgres"))
    assert command[:3] == [Path("/pg/bin/postgres"), "-D", Path("/data/postgres")]
    assert command[3:7] == ["-h", "0.0.0.0", "-p", str(PORTS["postgres"])]


def test_the_s3_server_has_every_port_once_and_grpc_where_its_parts_look_for_it() -> None:
    ports = s3_ports()
    assert set(ports) == set(PORT_FLAGS)
    assert len(set(ports.values())) == len(ports)
    assert ports["s3.port"] == PORTS["s3"]
    assert all(
        ports[f"{name}.grpc"] == port + 10_000 for name, port in ports.items() if f"{name}.grpc" in ports
    )


def test_a_server_without_its_credentials_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_LOCAL_DATA_DIR", str(tmp_path))
    assert main(["s3"]) == 78
    assert "HEADRACE_S3_ACCESS_KEY_ID" in capsys.readouterr().err
