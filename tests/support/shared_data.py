"""Real data sets for tests. They are no part of the repository: tests that use them say so where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zstandard

__all__ = ["read_compressed", "shared_data"]

_BESIDE = Path(__file__).parents[3] / "shared"


def shared_data(name: str) -> Path:
    """The folder of a data set, or a skip that says where it was looked for."""
    root = Path(os.environ.get("HEADRACE_SHARED", _BESIDE))
    folder = root / "data" / name
    if not folder.is_dir():
        pytest.skip(
            f"the data set {name} is not at {folder}; set HEADRACE_SHARED to the folder that holds data/"
        )
    return folder


def read_compressed(path: Path) -> str:
    """The text of a zstd file."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        return reader.read().decode()
