"""What the X-ray shows of an event is JSON, whatever JSON the event carries."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.support.clean_events import clean_event

from headrace_api.xray import _file_step, _plain


def test_raw_json_inside_an_event_is_shown_as_json() -> None:
    event = msgspec.structs.replace(clean_event(1), properties=msgspec.Raw(b'{"total": 12.50}'))
    shown = msgspec.json.decode(msgspec.json.encode({"event": _plain(event)}))
    assert shown["event"]["properties"] == {"total": 12.5}


def test_a_loaded_row_has_a_file_though_its_manifest_is_not_held() -> None:
    loaded: dict[str, Any] = {"file_id": 7, "file_key": "staged/v1/part.parquet"}
    step = _file_step(None, [loaded])
    assert (step.state, step.facts["files"]) == ("done", [{"key": "staged/v1/part.parquet"}])
    assert "manifest is not held" in step.explanation
    assert _file_step(None, []).state == "waiting"
