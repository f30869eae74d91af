"""CleanEvent by name and by position: the same fields, the same bytes."""

import msgspec

from headrace_core.events import CleanEvent, clean_row, columns_of, decode_clean, encode_clean

_FIELDS = CleanEvent.__struct_fields__


def _values() -> list[object]:
    """A different value for every field, of its type."""
    made: list[object] = []
    for number, column in enumerate(columns_of(CleanEvent)):
        if column.name == "overflow":
            made.append([f"v{number}"])
        elif column.kind == "json":
            made.append(msgspec.Raw(b'{"a":%d}' % number))
        elif column.kind in ("timestamp", "smallint", "integer", "bigint"):
            made.append(number)
        else:
            made.append(f"v{number}")
    return made


def test_a_row_takes_its_values_in_the_order_of_the_fields() -> None:
    row = clean_row(*_values())
    assert row.__struct_fields__ == _FIELDS
    assert [getattr(row, name) for name in _FIELDS] == _values()


def test_a_row_is_encoded_as_the_event_of_the_same_values() -> None:
    values = _values()
    event = CleanEvent(**dict(zip(_FIELDS, values, strict=True)))  # type: ignore[arg-type]
    assert encode_clean(clean_row(*values)) == encode_clean(event)
    assert decode_clean(encode_clean(event)) == event


def test_a_row_leaves_out_what_an_event_leaves_out() -> None:
    values = [
        None if field.default is None else value
        for field, value in zip(msgspec.structs.fields(CleanEvent), _values(), strict=True)
    ]
    given = {name: value for name, value in zip(_FIELDS, values, strict=True) if value is not None}
    event = CleanEvent(**given)  # type: ignore[arg-type]
    assert encode_clean(clean_row(*values)) == encode_clean(event)
    assert b"null" not in encode_clean(event)
