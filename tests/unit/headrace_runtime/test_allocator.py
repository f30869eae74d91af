"""The C library accepts the settings where it has them."""

import sys

from headrace_runtime.allocator import keep_freed_memory


def test_the_settings_are_accepted_where_the_c_library_knows_them() -> None:
    assert keep_freed_memory() == sys.platform.startswith("linux")
