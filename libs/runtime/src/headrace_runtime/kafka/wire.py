"""Wire structures of our own: metadata with topic ids and the cluster id, and a produce request with fewer copies."""

from __future__ import annotations

import struct
import uuid
from io import BytesIO
from typing import Any

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

__all__ = ["ProduceBatches", "TopicIdRequest", "Uuid"]

_PARTITION_AND_SIZE = struct.Struct(">ii")


class Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc]  # aiokafka's wire classes are untyped to mypy
    """Sixteen bytes; all zero where there is none."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        """The bytes of a UUID."""
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        """The UUID in the next sixteen bytes."""
        return uuid.UUID(bytes=data.read(16))


class TopicIdResponse(Response):  # type: ignore[misc]  # aiokafka's wire classes are untyped to mypy
    """Metadata response of version 12."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TopicIdStruct(RequestStruct):  # type: ignore[misc]  # aiokafka's wire classes are untyped to mypy
    """Metadata request of version 12."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TopicIdResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdRequest(Request[TopicIdStruct]):  # type: ignore[misc]  # aiokafka's wire classes are untyped to mypy
    """Asks for the named topics with their ids; needs brokers of version 3.0 or later."""

    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[TopicIdStruct]) -> TopicIdStruct:
        """The structure to send."""
        topics: list[Any] = [(uuid.UUID(int=0), name, {}) for name in self._names]
        return request_struct_class(topics, False, False, {})


class ProduceStruct(ProduceRequest_v7):  # type: ignore[misc]  # aiokafka's wire classes are untyped to mypy
    """Produce request of version 7 that copies the batches once instead of at each level of the structure."""

    def encode(self) -> bytes:
        """The bytes behind the request header."""
        parts = [Int16.encode(-1), Int16.encode(self.required_acks), Int32.encode(self.timeout)]
        parts.append(Int32.encode(len(self.topics)))
        for topic, entries in self.topics:
            parts += (String("utf-8").encode(topic), Int32.encode(len(entries)))
            for partition, batch in entries:
                parts += (_PARTITION_AND_SIZE.pack(partition, len(batch)), batch)
        return b"".join(parts)


class ProduceBatches(Request[ProduceStruct]):  # type: ignore[misc]  # aiokafka's wire classes are untyped to mypy
    """Appends batches by topic and partition, acknowledged by all in-sync replicas within `timeout_ms`."""

    API_KEY = 0

    def __init__(self, topics: list[tuple[str, list[tuple[int, bytes]]]], *, timeout_ms: int) -> None:
        self._topics, self._timeout_ms = topics, timeout_ms

    def build(self, request_struct_class: type[ProduceStruct]) -> ProduceStruct:
        """The structure to send."""
        return request_struct_class(None, -1, self._timeout_ms, self._topics)
