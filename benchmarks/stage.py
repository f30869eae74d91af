"""The figure of staging: clean events from Kafka to Parquet on S3, all columns, per CPU second of the process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.measure import Figure, Sample, cpu_seconds, interleave
from benchmarks.clean_events import clean_batches
from headrace_core.manifest import decode_manifest
from headrace_core.paths import chain_prefix
from headrace_core.topics import EVENTS_CLEAN
from headrace_local.installation import create_topics
from headrace_local.ports import choose_ports
from headrace_local.processes import ServiceProcess
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogWriter
from headrace_runtime.ports_log import TopicPartition
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import StoreSettings

__all__ = ["FIGURES"]
