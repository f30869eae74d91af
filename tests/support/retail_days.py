"""Real invoice lines as days of the lake: read through the shipped mapping and the real normalisation, as if received live."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from tests.support.expected_rows import online_retail_rows
from tests.support.rows import clean_of, request
from tests.support.shared_data import read_compressed, shared_data

from headrace_core.dialects import compile_mapping
from headrace_core.events import CleanEvent
from headrace_core.mapping import mapping_from, mapping_key
from headrace_loader.parquet import Overflow, arrow_schema, columns_from

__all__ = ["write_retail_events"]

_MAPPING = Path(__file__).parents[2] / "mappings" / "online_retail.yaml"
_SEED = 20101201


def write_retail_events(folder: Path, *months: str) -> Path:
    """A Parquet file of the clean events of months such as 2010-12. Each line was received some seconds after it was written,
    and earns quantity × price in pounds, which the mapping leaves in the properties."""
    source = shared_data("online_retail_uci")
    events = [event for month in months for event in _events(source / f"online-retail-{month}.csv.zst")]
    overflow = Overflow()
    table = pa.Table.from_arrays(columns_from(events, CleanEvent, overflow), schema=arrow_schema(CleanEvent))
    assert not overflow.objects
    path = folder / "retail.parquet"
    pq.write_table(table, path)
    return path


def _events(path: Path) -> Iterator[CleanEvent]:
    spec = mapping_from(yaml.safe_load(_MAPPING.read_text(encoding="utf-8")))
    mappings = {mapping_key(spec): compile_mapping(spec)}
    asked = request("mapped", source=spec.source, mapping=mapping_key(spec))
    chance = random.Random(f"{_SEED}/{path.name}")
    for offset, (row, expected) in enumerate(online_retail_rows(path.name, read_compressed(path))):
        received_ms = _milliseconds(expected.event_ts) + int(chance.expovariate(1 / 20_000))
        event = clean_of(row, msgspec.structs.replace(asked, received_at=received_ms), mappings)
        yield msgspec.structs.replace(
            event,
            revenue=f"{int(row['Quantity']) * Decimal(row['UnitPrice']):.4f}",
            currency="GBP",
            src_offset=offset,
        )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
