"""The hot paths: which dialect a path speaks, how its body is split, and how it is answered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["HOT_PATHS", "IMPORT_PREFIX", "Convention", "Route", "Shape", "route_of"]

Convention = Literal["native", "segment"]
"""How answers look."""

Shape = Literal["events", "batch", "one"]
"""What a body holds: events one after the other, an envelope around a batch, or one event."""

IMPORT_PREFIX = "/v1/import/"
_MAPPING_LIMIT_CHARS = 200


@dataclass(frozen=True, slots=True)
class Route:
    """One hot path. ``mapping`` is name@version on import paths, None elsewhere."""

    path: str
    dialect: str
    shape: Shape
    convention: Convention
    mapping: str | None = None


HOT_PATHS: dict[str, Route] = {
    "/v1/events": Route("/v1/events", "native", "events", "native"),
    "/v1/batch": Route("/v1/batch", "segment", "batch", "segment"),
    **{
        f"/v1/{kind}": Route(f"/v1/{kind}", "segment", "one", "segment")
        for kind in ("track", "identify", "page", "screen", "group", "alias")
    },
}


def route_of(path: str) -> Route | None:
    """The hot path that ``path`` is, a trailing slash aside; None for everything else."""
    found = HOT_PATHS.get(path)
    if found is not None:
        return found
    if path.startswith(IMPORT_PREFIX):
        name = path[len(IMPORT_PREFIX) :].rstrip("/")
        if name and "/" not in name and len(name) <= _MAPPING_LIMIT_CHARS:
            return Route(IMPORT_PREFIX + name, "mapped", "events", "native", name)
        return None
    return HOT_PATHS.get(path.rstrip("/")) if path.endswith("/") else None
