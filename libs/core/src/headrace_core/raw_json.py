"""The type of a struct field that holds JSON verbatim, or nothing.

At run time it is `msgspec.Raw` alone: of a union with None the decoder would take null and refuse every other value. A
field of this type has the default None, which stands for an absent member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

__all__ = ["OptionalRaw"]

if TYPE_CHECKING:
    OptionalRaw: TypeAlias = msgspec.Raw | None
else:
    OptionalRaw = msgspec.Raw
