"""Why an event is in quarantine: the closed list of reason codes, with the number that index blocks store.

Numbers are part of the block format: they are never reused and never change meaning.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Reason", "reason_of"]


class Reason(Enum):
    """A reason code: ``name`` is what people and programs see in lower case, ``number`` what blocks store (u16)."""

    number: int
    meaning: str

    NONE = (0, "the event is good")
    INVALID_JSON = (1, "the bytes are not one JSON value")
    NOT_AN_OBJECT = (2, "the event is JSON but not an object")
    WRONG_TYPE = (3, "a field has a type that the dialect does not allow")
    MISSING_FIELD = (4, "a field that the dialect requires is missing")
    UNKNOWN_EVENT_TYPE = (5, "the event type is none of the known ones")
    EVENT_TOO_LARGE = (6, "the event is larger than 256 KiB")
    TOO_DEEP = (7, "the event nests deeper than 64 levels")
    NUL_CHARACTER = (8, "a string holds the NUL character, which no warehouse stores")
    LONE_SURROGATE = (9, "a string holds half of a surrogate pair, which is no character")
    INVALID_UTF8 = (10, "the bytes are not UTF-8")
    VALUE_TOO_LONG = (11, "an identifier or a name is longer than its column")
    KEY_MISMATCH = (12, "the record's key is not the dedup id of its event")
    ID_CONFLICT = (13, "another event with the same id and other content was accepted before")
    UNREADABLE_META = (14, "the record's request metadata cannot be read")
    UNKNOWN_DIALECT = (15, "the record names a dialect that this code does not know")
    MAPPING_FAILED = (16, "the mapping could not be applied to the event")
    UNDECODABLE_BODY = (17, "the whole request body could not be decoded")
    INVALID_TIME = (18, "a time is given but cannot be read as one")

    def __init__(self, number: int, meaning: str) -> None:
        self.number = number
        self.meaning = meaning

    @property
    def code(self) -> str:
        """The stable code in lower case, as in headers, answers and metrics."""
        return self.name.lower()


_BY_NUMBER = {reason.number: reason for reason in Reason}


def reason_of(number: int) -> Reason:
    """The reason that a block stores as ``number``; KeyError where a newer version wrote it."""
    return _BY_NUMBER[number]
