"""Settings stop the start with the name, the reason and the fix."""

from __future__ import annotations

import pytest

from headrace_core.errors import ConfigurationError, ExitCode
from headrace_runtime.settings import HttpSettings, KafkaSettings, load_settings


class _Settings(HttpSettings, KafkaSettings):
    pass


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ConfigurationError, match="HEADRACE_KAFKA_BOOTSTRAP is not set") as caught:
        load_settings(_Settings, {})
    assert caught.value.exit_code is ExitCode.CONFIGURATION


def test_every_wrong_variable_is_named() -> None:
    environ = {
        "HEADRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
        "HEADRACE_PARTITIONS": "none",
        "HEADRACE_HTTP_PORT": "70000",
    }
    with pytest.raises(ConfigurationError) as caught:
        load_settings(_Settings, environ)
    assert "HEADRACE_PARTITIONS:" in str(caught.value)
    assert "HEADRACE_HTTP_PORT:" in str(caught.value)


def test_values_come_from_the_variables_given_and_from_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA_BOOTSTRAP", "elsewhere:9092")
    monkeypatch.setenv("HEADRACE_HTTP_PORT", "1")
    environ = {"HEADRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9092", "HEADRACE_PARTITIONS": "48", "OTHER": "x"}
    settings = load_settings(_Settings, environ)
    assert (settings.kafka_bootstrap, settings.partitions, settings.http_port) == ("127.0.0.1:9092", 48, 8080)
    with pytest.raises(ConfigurationError):
        load_settings(_Settings, {})
