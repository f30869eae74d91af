"""``headrace replay``: rows of legacy files through HTTP, read by a mapping."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import httpx
import msgspec
import yaml

from headrace_cli.console import progress
from headrace_cli.rows import read_rows
from headrace_cli.target import Target
from headrace_core.dialects import compile_mapping, parse
from headrace_core.dialects.mapped import DIALECT
from headrace_core.errors import BadData, Unavailable, UsageError
from headrace_core.mapping import SENDER_FIELDS, MappingSpec, mapping_from, mapping_key
from headrace_core.meta import RequestMeta
from headrace_core.parsed import Rejected
from headrace_core.rows import batch_rows, needs_sender_fields

__all__ = ["Preview", "ReplayResult", "install_mapping", "load_mapping", "preview", "replay"]

_BATCH_ROWS = 500
_BATCH_BYTES = 700_000
_SENDERS = 4
_ATTEMPTS = 120
_RETRY_WAIT_S = 1.0
_NEW_KEY_ATTEMPTS = 20
_SAMPLE_ROWS = 1_000
_SHOWN = ("event_type", "event_name", "client_id", "user_id", "anonymous_id", "session_id", "time")


class ReplayResult(msgspec.Struct, kw_only=True):
    """What was sent. ``quarantined`` counts rows that ingest set aside at once, by reason."""

    files: int = 0
    rows: int = 0
    acknowledged: int = 0
    quarantined: dict[str, int] = {}
    repeated_requests: int = 0


class _Rejection(msgspec.Struct):
    """A row that ingest put into quarantine."""

    reason: str


class _Answer(msgspec.Struct):
    """What a replay reads of the native answer."""

    receipts: list[str | None]
    rejected: list[_Rejection] = []


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping makes of the first rows, without sending any."""

    rows: int
    rejected: dict[str, int]
    consumed_fields: list[str]
    kept_in_properties: list[str]
    example: dict[str, object]


_decode_answer = msgspec.json.Decoder(_Answer).decode


def load_mapping(path: Path) -> MappingSpec:
    """The mapping in a YAML file; UsageError or BadData where there is none."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"The mapping {path} cannot be read.", why=str(error), code="mapping_missing"
        ) from error
    except yaml.YAMLError as error:
        raise BadData(f"The mapping {path} is not YAML.", why=str(error), code="mapping_invalid") from error
    return mapping_from(document)


def install_mapping(path: Path, spec: MappingSpec, target: Target) -> None:
    """Put the mapping where a local installation looks; elsewhere it must have been deployed."""
    if target.mappings_dir is None:
        return
    target.mappings_dir.mkdir(parents=True, exist_ok=True)
    place = target.mappings_dir / f"{spec.name}.v{spec.version}.yaml"
    content = path.read_bytes()
    if place.exists() and place.read_bytes() != content:
        raise UsageError(
            f"Another mapping is installed as {mapping_key(spec)}.",
            why="A version never changes: rows that were read with it must read the same for ever.",
            fix=f"Raise `version` in {path}.",
            code="mapping_changed",
        )
    place.write_bytes(content)


def preview(files: Sequence[Path], spec: MappingSpec) -> Preview:
    """Read the first rows of the first file as dedup would, and say what becomes of each field."""
    compiled = compile_mapping(spec)
    meta = RequestMeta(
        source=spec.source,
        dialect=DIALECT,
        path="preview",
        received_at=0,
        request_id="preview",
        mapping=compiled.key,
        naive_zone=spec.zone or "UTC",
    )
    rows = list(islice(read_rows(files[0], sender_fields=needs_sender_fields(spec)), _SAMPLE_ROWS))
    rejected: Counter[str] = Counter()
    fields: dict[str, None] = {}
    example: dict[str, object] = {}
    for row in rows:
        fields.update(dict.fromkeys(msgspec.json.decode(row)))
        try:
            parsed = parse(row, meta, {compiled.key: compiled})
        except Rejected as error:
            rejected[error.reason.code] += 1
        else:
            example = example or {
                name: getattr(parsed, name) for name in _SHOWN if getattr(parsed, name) is not None
            }
    consumed = compiled.consumed | set(SENDER_FIELDS)
    return Preview(
        rows=len(rows),
        rejected=dict(rejected),
        consumed_fields=[name for name in fields if name in consumed],
        kept_in_properties=[name for name in fields if name not in consumed],
        example=example,
    )


def _bodies(files: Sequence[Path], spec: MappingSpec) -> Iterator[bytes]:
    """NDJSON bodies that stay below the ingest service's limits."""
    sender_fields = needs_sender_fields(spec)
    for path in files:
        rows = read_rows(path, sender_fields=sender_fields)
        for group in batch_rows(rows, max_rows=_BATCH_ROWS, max_bytes=_BATCH_BYTES):
            yield b"\n".join(group)


async def replay(files: Sequence[Path], spec: MappingSpec, target: Target) -> ReplayResult:
    """Send every row of the files; returns when all are acknowledged. Unavailable where the service stays away."""
    result = ReplayResult(files=len(files))
    bodies = _bodies(files, spec)
    turn = asyncio.Lock()  # a generator cannot be entered by two threads

    async def following() -> bytes | None:
        async with turn:
            return await asyncio.to_thread(next, bodies, None)

    path = f"/v1/import/{mapping_key(spec)}"
    auth = (target.write_key, "")
    with progress() as bars:
        bar = bars.add_task("Rows acknowledged", total=None)
        async with httpx.AsyncClient(base_url=target.ingest_url, auth=auth, timeout=60.0) as client:

            async def send() -> None:
                while (body := await following()) is not None:
                    answer = await _post(client, path, body, target, result)
                    result.rows += len(answer.receipts)
                    result.acknowledged += len(answer.receipts)
                    for rejection in answer.rejected:
                        result.quarantined[rejection.reason] = result.quarantined.get(rejection.reason, 0) + 1
                    bars.advance(bar, len(answer.receipts))

            async with asyncio.TaskGroup() as tasks:
                for _ in range(_SENDERS):
                    tasks.create_task(send())
    return result


async def _post(
    client: httpx.AsyncClient, path: str, body: bytes, target: Target, result: ReplayResult
) -> _Answer:
    why = ""
    for attempt in range(_ATTEMPTS):
        try:
            answer = await client.post(path, content=body, headers={"content-type": "application/x-ndjson"})
        except httpx.TransportError as error:
            why = repr(error)
        else:
            if answer.status_code == 200:
                return _decode_answer(answer.content)
            why = f"{answer.status_code} {answer.text[:300]}"
            new_key = answer.status_code == 401 and target.key_is_new and attempt < _NEW_KEY_ATTEMPTS
            if answer.status_code < 429 and not new_key:
                raise BadData("The ingest service refused a batch of rows.", why=why, code="batch_refused")
        result.repeated_requests += 1
        await asyncio.sleep(_RETRY_WAIT_S)
    raise Unavailable(
        "The ingest service did not take a batch within two minutes.",
        why=why,
        fix="See what /readyz of the service says; rows sent again are recognised by their ids.",
        code="ingest_unavailable",
    )
