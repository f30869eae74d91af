"""The CRD is fresh, small, says what each field is, and its cases are the decoder's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.run_cases import REFUSED, TAKEN

from headrace_core.errors import BadData
from headrace_core.pipeline_run import decode_spec
from headrace_operator.crd import CRD_FILE, crd, crd_text

_ROOT = Path(__file__).parents[3]
_LAST_APPLIED_BYTES = 262_144


def _fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from _fields(field, f"{path}.{name}")
        yield from _fields(field.get("items", {}), f"{path}.{name}[]")


def test_the_file_is_fresh_and_can_be_applied() -> None:
    written = (_ROOT / CRD_FILE).read_text(encoding="utf-8")
    assert written == crd_text(), "Fix: python -m headrace_operator.crd"
    assert len(written.encode()) < _LAST_APPLIED_BYTES


def test_every_field_says_what_it_is() -> None:
    [version] = crd()["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    fields = dict(_fields(schema))
    assert ".spec.job" in fields
    assert ".status.attempts[].exitCode" in fields
    silent = [path for path, field in fields.items() if not field.get("description") and path != ".metadata"]
    assert silent == []


def test_nothing_escapes_the_schema() -> None:
    assert "x-kubernetes-preserve-unknown-fields" not in json.dumps(crd())


@pytest.mark.parametrize("case", TAKEN)
def test_the_decoder_takes(case: str) -> None:
    decode_spec(json.dumps(TAKEN[case]).encode())


@pytest.mark.parametrize("case", REFUSED)
def test_the_decoder_refuses_and_says_why(case: str) -> None:
    with pytest.raises(BadData) as caught:
        decode_spec(json.dumps(REFUSED[case]).encode())
    assert caught.value.why
