"""A file of run tokens that cannot be used is said at the start, without a word of what stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_api.context import read_tokens
from headrace_core.errors import ConfigurationError


@pytest.mark.parametrize("content", [b"version: 1\ncallers: [secret-token: {", b"\xff\xfesecret-token"])
def test_what_is_no_yaml_is_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_tokens(path)
    assert "secret-token" not in str(caught.value)
    assert "HEADRACE_RUN_TOKENS_FILE" in caught.value.fix


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml"):
        read_tokens(tmp_path / "absent.yaml")
