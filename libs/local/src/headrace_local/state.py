"""What a stack decides once and keeps: ports, credentials, cluster id. Stored in `state.json`, readable by its owner."""

import os
import secrets
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path

import msgspec

from headrace_local.errors import StackMismatchError
from headrace_local.ports import choose_ports

__all__ = ["STATE_FILE", "StackState", "load_state", "new_cluster_id", "new_state", "save_state"]

STATE_FILE = "state.json"
"""Name of the file inside the folder of a stack."""


class StackState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kept decisions of one stack. `settled` turns true when all servers were ready once: ports are final then."""

    brokers: int
    ports: dict[str, int]
    kafka_cluster_id: str
    s3_access_key: str
    s3_secret_key: str
    postgres_password: str
    settled: bool = False


def new_state(brokers: int, port_names: Iterable[str]) -> StackState:
    """Fresh ports and secrets for a stack that was never started."""
    return StackState(
        brokers=brokers,
        ports=choose_ports(port_names),
        kafka_cluster_id=new_cluster_id(),
        s3_access_key="local" + secrets.token_hex(6),
        s3_secret_key=secrets.token_urlsafe(24),
        postgres_password=secrets.token_urlsafe(18),
    )


def load_state(root: Path) -> StackState | None:
    """The state kept in `root`, None if the stack was never started; `StackMismatchError` if it cannot be read."""
    path = root / STATE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=StackState)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StackMismatchError(
            f"The state of the stack in {root} cannot be read.",
            why=f"{path} was damaged or written by another version: {error}.",
            fix="use another folder, or remove this one to start afresh (its data are lost).",
            code="local.state_unreadable",
        ) from error


def save_state(root: Path, state: StackState) -> None:
    """Replace the kept state in one step, readable by its owner only."""
    path = root / STATE_FILE
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def new_cluster_id() -> str:
    """A random id as Kafka writes them; the first bit is cleared, since its tools take a leading dash for an option."""
    data = uuid.uuid4().bytes
    return urlsafe_b64encode(bytes([data[0] & 0x7F]) + data[1:]).rstrip(b"=").decode()
