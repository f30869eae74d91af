"""What the X-ray shows of an event is JSON, whatever JSON the event carries."""

from __future__ import annotations

import msgspec
from tests.support.clean_events import clean_event

from headrace_api.xray import _plain


def test_raw_json_inside_an_event_is_shown_as_json() -> None:
    event = msgspec.structs.replace(clean_event(1), properties=msgspec.Raw(b'{"total": 12.50}'))
    shown = msgspec.json.decode(msgspec.json.encode({"event": _plain(event)}))
    assert shown["event"]["properties"] == {"total": 12.5}
