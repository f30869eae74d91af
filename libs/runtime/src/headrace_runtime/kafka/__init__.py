"""Kafka adapters of the log ports.

They stand on aiokafka's connections, wire structures and Cython record parser, but bring their own sending,
fetching and batching: its producer and consumer hide what rules A2, A3, D4 and D5 have to know (which request
reached a broker, which offset was acknowledged, when a retry ends). aiokafka is pinned; the contract tests compare
what these adapters read and write with its public consumer.
"""

from __future__ import annotations

from headrace_runtime.kafka.admin import KafkaLogAdmin
from headrace_runtime.kafka.batcher import Batcher
from headrace_runtime.kafka.connection import KafkaConnection
from headrace_runtime.kafka.group import KafkaGroup
from headrace_runtime.kafka.reader import KafkaLogReader
from headrace_runtime.kafka.writer import KafkaLogWriter

__all__ = [
    "Batcher",
    "KafkaConnection",
    "KafkaGroup",
    "KafkaLogAdmin",
    "KafkaLogReader",
    "KafkaLogWriter",
]
