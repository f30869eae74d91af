"""Puts the service together, runs it, and drains it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import uvicorn

from headrace_core.errors import Unavailable
from headrace_ingest.admission import Admission
from headrace_ingest.api import build_api
from headrace_ingest.asgi import Switch
from headrace_ingest.intake import Intake
from headrace_ingest.key_store import KeyStore
from headrace_ingest.log_sink import LogSink
from headrace_ingest.log_watch import LogWatch, check_topics
from headrace_ingest.settings import IngestSettings
from headrace_ingest.tally import Tally
from headrace_ingest.wire_guard import guarded_protocol, sweep
from headrace_runtime.admin_http import QuietServer, listen, serve
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin, KafkaLogWriter
from headrace_runtime.mapping_folder import MappingFolder
from headrace_runtime.process import Lifecycle

__all__ = ["run_service"]

_log = logging.getLogger(__name__)
_CONNECT_DEADLINE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_BATCH_CLOSE_SHARE = 0.4
_HOUSEKEEPING_EVERY_S = 1.0
