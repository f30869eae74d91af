"""One server of the stack as the only process of a pod, for the chart's dev values: no replication, no backups.

    python -m headrace_local.in_pod kafka|postgres|s3      becomes the server
    python -m headrace_local.in_pod fetch                  fetches Kafka's jars, while the image is built

It listens on every address, since other pods come from outside; the chart's NetworkPolicy says which. Settings are
HEADRACE_… variables; a pod that starts again on the same volume goes on with its data.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import Field, SecretStr

from headrace_core.errors import ConfigurationError, ExitCode, HeadraceError
from headrace_local.cache import cache_folder
from headrace_local.errors import LocalStackError
from headrace_local.java import find_java
from headrace_local.kafka import KafkaSettings, server_properties
from headrace_local.kafka_jvm import KafkaJvm
from headrace_local.locked_jars import locked_jars
from headrace_local.ports import LOOPBACK
from headrace_local.postgres import DATABASE, POSTGRES_SETTINGS, ROLE, postgres_installation
from headrace_local.seaweed import GO_MEMORY_LIMIT, PORT_FLAGS, identities, mini_command
from headrace_local.state import new_cluster_id
from headrace_runtime.settings import ProcessSettings, load_settings

__all__ = ["PORTS", "PodSettings", "kafka_properties", "main", "postgres_command", "s3_ports"]

PORTS: Mapping[str, int] = {"kafka": 9092, "postgres": 5432, "s3": 8333}
"""The port of each server's clients."""

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - a pod's clients are other pods
_CONTROLLER_PORT = 9093
_FIRST_INNER_PORT = 18_000
_GRPC, _GRPC_DISTANCE = ".grpc", 10_000
_JVM_OPTIONS = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_TOOL_WITHIN_S = 120.0
_LOG = """\
Configuration:
  Appenders:
    Console: {name: console, PatternLayout: {pattern: "%d %p %m (%c)%n"}}
  Loggers: {Root: {level: INFO, AppenderRef: [{ref: console}]}}
"""


class PodSettings(ProcessSettings):
    """What a server of the dev values is told."""

    local_data_dir: Path = Field(Path("/data"), description="Folder of the pod's volume.")
    local_advertised: str = Field(LOOPBACK, description="Host name under which Kafka's clients reach it.")
    local_postgres_password: SecretStr | None = Field(None, description="Password of the warehouse's owner.")
    s3_bucket: str = Field("lake", description="Bucket that the S3 server makes.")
    s3_access_key_id: SecretStr | None = Field(None, description="Access key of the S3 server's user.")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret of the access key.")


def kafka_properties(advertised: str, data: Path) -> dict[str, str | int | Path]:
    """The configuration of the one broker, reachable from other pods by ``advertised``."""
    ports = {"client": PORTS["kafka"], "controller": _CONTROLLER_PORT}
    properties = server_properties(1, ports, KafkaSettings("", {1: _CONTROLLER_PORT}, fast=True), data)
    clients = f"PLAINTEXT://{_EVERYWHERE}:{PORTS['kafka']}"
    return {
        **properties,
        "listeners": f"{clients},CONTROLLER://{LOOPBACK}:{_CONTROLLER_PORT}",
        "advertised.listeners": f"PLAINTEXT://{advertised}:{PORTS['kafka']}",
    }


def postgres_command(programs: Path, data: Path) -> list[str | Path]:
    """The command line of the warehouse's server."""
    settings = [part for key, value in POSTGRES_SETTINGS.items() for part in ("-c", f"{key}={value}")]
    address = ["-h", _EVERYWHERE, "-p", str(PORTS["postgres"])]
    return [programs / "postgres", "-D", data, *address, *settings]


def s3_ports() -> dict[str, int]:
    """Every port of the S3 server; parts of it expect another's gRPC port at a fixed distance."""
    plain = [name for name in PORT_FLAGS if not name.endswith(_GRPC)]
    ports = {name: _FIRST_INNER_PORT + number for number, name in enumerate(plain)} | {"s3.port": PORTS["s3"]}
    return ports | {f"{name}{_GRPC}": port + _GRPC_DISTANCE for name, port in ports.items()}


def _kafka(settings: PodSettings) -> list[str | Path]:
    folder = settings.local_data_dir
    jars = sorted((cache_folder(os.environ, Path.home()) / "jars").rglob("*.jar"))
    logging, configuration = folder / "log4j2.yaml", folder / "server.properties"
    logging.write_text(_LOG)
    properties = kafka_properties(settings.local_advertised, folder / "kafka")
    configuration.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    java = KafkaJvm(find_java(os.environ), jars, None).command(_JVM_OPTIONS, logging)
    if not (folder / "kafka" / "meta.properties").exists():
        cluster = f"--cluster-id={new_cluster_id()}"
        _tool([*java, "kafka.tools.StorageTool", "format", cluster, "-c", configuration])
    return [*java, "kafka.Kafka", configuration]


def _postgres(settings: PodSettings) -> list[str | Path]:
    programs, data = postgres_installation() / "bin", settings.local_data_dir / "postgres"
    if not data.exists():
        _create_cluster(
            programs, data, _required(settings.local_postgres_password, "LOCAL_POSTGRES_PASSWORD")
        )
    (data / "postmaster.pid").unlink(missing_ok=True)  # of a process 1 of the pod before this one
    return postgres_command(programs, data)


def _create_cluster(programs: Path, data: Path, password: str) -> None:
    """Initialise beside the final place and rename: a kill in between leaves no half cluster."""
    draft, kept = data.with_suffix(".new"), data.with_suffix(".password")
    shutil.rmtree(draft, ignore_errors=True)
    kept.touch(mode=0o600)
    kept.write_text(password)
    options = ["-U", ROLE, "-A", "scram-sha-256", f"--pwfile={kept}", "-E", "UTF8", "--locale=C"]
    try:
        _tool([programs / "initdb", "-D", draft, *options])
    finally:
        kept.unlink()
    with (draft / "pg_hba.conf").open("a") as access:
        access.write("host all all all scram-sha-256\n")
    _tool([programs / "postgres", "--single", "-D", draft, "postgres"], f"CREATE DATABASE {DATABASE};\n")
    draft.rename(data)


def _s3(settings: PodSettings) -> list[str | Path]:
    data, keys = settings.local_data_dir / "s3", settings.local_data_dir / "identities.json"
    data.mkdir(exist_ok=True)
    keys.touch(mode=0o600)
    keys.write_text(
        identities(
            _required(settings.s3_access_key_id, "S3_ACCESS_KEY_ID"),
            _required(settings.s3_secret_access_key, "S3_SECRET_ACCESS_KEY"),
        )
    )
    os.environ["GOMEMLIMIT"] = GO_MEMORY_LIMIT
    return mini_command(data, keys, s3_ports(), settings.s3_bucket, bind=_EVERYWHERE)


_SERVERS = {"kafka": _kafka, "postgres": _postgres, "s3": _s3}


def _required(value: SecretStr | None, name: str) -> str:
    if value is None or not value.get_secret_value():
        raise ConfigurationError(
            f"HEADRACE_{name} is not set.", fix="Set it from the chart's dev Secret.", code="configuration"
        )
    return value.get_secret_value()


def _tool(command: Sequence[str | Path], given: str = "") -> None:
    """Run a program to its end; LocalStackError with its output where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - programs of the image
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TOOL_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(command, f"it did not end within {_TOOL_WITHIN_S:.0f} s.") from error
    if done.returncode != 0:
        raise _failed(command, done.stdout[-2000:])


def _failed(command: Sequence[str | Path], why: str) -> LocalStackError:
    fix = "See why; the pod starts again and tries once more."
    return LocalStackError(f"{Path(command[0]).name} failed.", why=why, fix=fix, code="local.tool_failed")


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code. A server takes the place of this process, so it does not return."""
    given = _arguments(arguments)
    try:
        if given == "fetch":
            folder = cache_folder(os.environ, Path.home()) / "jars"
            locked_jars("kafka.lock", folder, os.environ, Path.home())
            return ExitCode.OK
        _become(given, load_settings(PodSettings, os.environ))
    except HeadraceError as error:
        print(error, file=sys.stderr)  # noqa: T201 - nothing is configured yet, logging neither
        return error.exit_code


def _arguments(arguments: list[str] | None) -> str:
    parser = argparse.ArgumentParser(prog="python -m headrace_local.in_pod", description=__doc__)
    parser.add_argument("server", choices=[*_SERVERS, "fetch"])
    server: str = parser.parse_args(arguments).server
    return server


def _become(server: str, settings: PodSettings) -> NoReturn:
    settings.local_data_dir.mkdir(parents=True, exist_ok=True)
    command = [str(part) for part in _SERVERS[server](settings)]
    os.chdir(settings.local_data_dir)
    os.execv(command[0], command)  # noqa: S606 - to become the server is the purpose


if __name__ == "__main__":
    sys.exit(main())
