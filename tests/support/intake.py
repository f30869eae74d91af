"""The request path of ingest on a log in memory: what a test submits is decided and acknowledged as in production."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_core.clock import ManualClock
from headrace_core.dialects import CompiledMapping
from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_core.write_keys import key_entry
from headrace_ingest.admission import Admission
from headrace_ingest.answers import Answer
from headrace_ingest.intake import Intake
from headrace_ingest.key_store import KeyStore
from headrace_ingest.log_sink import LogSink
from headrace_ingest.log_watch import LogWatch
from headrace_ingest.routes import route_of
from headrace_ingest.tally import Tally
from headrace_runtime.memory_log import MemoryLog, MemoryLogAdmin, MemoryLogWriter, MemoryRecord
from headrace_runtime.ports_log import TopicPartition, TopicSpec
from headrace_runtime.process import Lifecycle
from headrace_runtime.settings import ProcessSettings
from headrace_runtime.telemetry import Telemetry

__all__ = ["KEY", "PARTITIONS", "IntakeWorld", "basic", "decoded", "intake_world", "key_file"]

KEY = "wk-test-1"
PARTITIONS = 4


def basic(key: str) -> bytes:
    """The Authorization header of a key."""
    return b"Basic " + base64.b64encode(f"{key}:".encode())


def key_file(folder: Path, source: str = "web", **settings: object) -> Path:
    """A key file with KEY."""
    entry = key_entry(KEY)
    sources = [{"source": source, "keys": [{"id": entry.id, "hash": entry.hash}], **settings}]
    path = folder / "keys.yaml"
    path.write_text(json.dumps({"version": 1, "sources": sources}), encoding="utf-8")
    return path


@dataclass
class IntakeWorld:
    """An intake with everything around it."""

    intake: Intake
    sink: LogSink
    log: MemoryLog
    admission: Admission
    telemetry: Telemetry
    tally: Tally

    async def post(
        self, path: str, body: bytes, headers: Mapping[bytes, bytes] | None = None, *, key: str | None = KEY
    ) -> Answer:
        """Submit a request and wait for its answer."""
        route = route_of(path)
        assert route is not None
        sent = dict(headers or {})
        if key is not None:
            sent.setdefault(b"authorization", basic(key))
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        request = self.intake.begin(route, sent, "203.0.113.77")
        request.ticket.grow_to(len(body))
        self.intake.submit(request, body, answered.set_result)
        async with asyncio.timeout(10):
            return await answered

    def records(self, topic: str) -> list[MemoryRecord]:
        """All records of a topic."""
        found = []
        for partition in range(PARTITIONS):
            stored = self.log.partition(TopicPartition(topic, partition))
            assert stored is not None
            found += stored.records
        return found

    @property
    def raw(self) -> list[MemoryRecord]:
        """Records of events.raw."""
        return self.records(EVENTS_RAW.name)

    @property
    def quarantine(self) -> list[MemoryRecord]:
        """Records of events.quarantine."""
        return self.records(EVENTS_QUARANTINE.name)


@asynccontextmanager
async def intake_world(
    keys: Path,
    *,
    mappings: Mapping[str, CompiledMapping] | None = None,
    limit_bytes: int = 64 << 20,
    deadline_s: float = 5.0,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[IntakeWorld]:
    """An open intake."""
    telemetry = telemetry or Telemetry("test", "test")
    log, admission = MemoryLog(), Admission(limit_bytes)
    for topic in (EVENTS_RAW, EVENTS_QUARANTINE):
        log.create(TopicSpec(topic.name, PARTITIONS))
    writer = MemoryLogWriter(log)
    await writer.start()
    sink = LogSink(writer, PARTITIONS, deadline_s=deadline_s, limit_bytes=limit_bytes)
    clock = ManualClock()
    life = Lifecycle("test", ProcessSettings.model_validate({"instance": "test"}), clock, telemetry)
    tally = Tally(telemetry, admission)
    intake = Intake(
        clock=clock,
        keys=KeyStore(keys, None),
        mappings=mappings or {},
        watch=LogWatch(life, MemoryLogAdmin(log), grace_s=deadline_s),
        admission=admission,
        tally=tally,
        telemetry=telemetry,
        partitions=PARTITIONS,
        trusted_hops=0,
    )
    intake.open(sink)
    try:
        yield IntakeWorld(intake, sink, log, admission, telemetry, tally)
    finally:
        await sink.close(deadline_s=1.0)
        telemetry.shutdown()


def decoded(answer: Answer) -> Any:
    """The body of an answer."""
    return json.loads(answer.body)
