"""What `headrace run JOB …` asks for, as the spec of a run. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from headrace_core.errors import BadData, UsageError
from headrace_core.pipeline_run import JobName, RunSpec, decode_spec

__all__ = ["spec_of"]


def spec_of(
    job: JobName,
    *,
    date: str | None = None,
    interval: str | None = None,
    dry_run: bool = False,
    settings: Sequence[str] = (),
) -> RunSpec:
    """The spec. ``interval`` is ``A..B``, B not part of it; ``settings`` are ``key=value``: parameters of the job, and with a
    leading dot fields of the spec itself (``.deadlineSeconds=600``, ``.retry.limit=0``). UsageError says what is wrong."""
    document: dict[str, object] = {"job": job}
    if date is not None:
        document["date"] = date
    if interval is not None:
        start, dots, end = interval.partition("..")
        if not dots:
            raise _wrong(
                f"{interval!r} is no interval.", "Give the first day and the day after the last: A..B."
            )
        document["interval"] = {"start": start, "end": end}
    if dry_run:
        document["dryRun"] = True
    for setting in settings:
        _set(document, job, setting)
    try:
        return decode_spec(json.dumps(document).encode())
    except BadData as error:
        raise UsageError(error.what, why=error.why, fix=error.fix, code=error.code) from error


def _set(document: dict[str, object], job: str, setting: str) -> None:
    name, equals, value = setting.partition("=")
    if not equals or not name.strip("."):
        raise _wrong(f"{setting!r} sets nothing.", "Give --set key=value.")
    path = name.removeprefix(".").split(".") if name.startswith(".") else [job, *name.split(".")]
    place = document
    for part in path[:-1]:
        inner = place.setdefault(_camel(part), {})
        if not isinstance(inner, dict):
            raise _wrong(f"{setting!r} sets a part of what is no block.", "Set the field itself.")
        place = inner
    place[_camel(path[-1])] = _value(value)


def _camel(name: str) -> str:
    """Names as they stand in the resource, also where they were written as in Python or on a command line."""
    first, *others = name.replace("-", "_").split("_")
    return first + "".join(part.capitalize() for part in others)


def _value(text: str) -> object:
    """Numbers and booleans as such, all else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int)) else text


def _wrong(what: str, fix: str) -> UsageError:
    return UsageError(what, fix=fix, code="usage")
