"""Funnels: ordered steps of event names, read from a YAML document. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final

import msgspec
import yaml

from headrace_core.errors import ConfigurationError

__all__ = ["DEFAULT_FUNNELS", "Funnel", "funnels_from", "unreadable"]

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Funnel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A name, and the event names that a session has to come through in their order."""

    name: _Name
    steps: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=20)]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    funnels: tuple[Funnel, ...]


DEFAULT_FUNNELS: Final = (
    Funnel(name="purchase", steps=("Product Viewed", "Product Added", "Order Completed")),
)
"""What is counted without a file: the way to an order by the usual names of shop events."""


def funnels_from(document: str | bytes, *, place: str = "document") -> tuple[Funnel, ...]:
    """The funnels of a YAML document: a list ``funnels`` of ``name`` and ``steps``. ConfigurationError where it is none; it
    names the ``place`` of the document."""
    try:
        found = msgspec.convert(yaml.safe_load(document), _Document).funnels
    except (yaml.YAMLError, ValueError, msgspec.ValidationError) as error:
        raise unreadable(place, str(error)) from error
    twice = sorted(name for name, count in Counter(funnel.name for funnel in found).items() if count > 1)
    if twice:
        raise unreadable(
            place, f"{', '.join(twice)}: a funnel's name must be its own, since it is the table's key"
        )
    return found


def unreadable(place: str, why: str) -> ConfigurationError:
    """The error of a place that holds no funnels."""
    return ConfigurationError(
        f"HEADRACE_FUNNELS_FILE: {place} cannot be used.",
        why=why,
        fix="Write `funnels:` with a list of `name` and `steps`, names of events in their order; "
        "or leave HEADRACE_FUNNELS_FILE empty for the funnel purchase.",
        code="funnels_unreadable",
    )
