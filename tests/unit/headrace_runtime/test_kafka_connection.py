"""Credentials and certificates come from the environment; what is missing is named."""

import ssl
from pathlib import Path

import pytest

from headrace_core.errors import ConfigurationError
from headrace_runtime.kafka import KafkaConnection
from headrace_runtime.settings import KafkaSettings, load_settings


def _settings(**values: str) -> KafkaSettings:
    given = {"bootstrap": "broker:9092", **values}
    return load_settings(
        KafkaSettings, {f"HEADRACE_KAFKA_{name.upper()}": value for name, value in given.items()}
    )


def test_plain_text_needs_the_address_only() -> None:
    made = KafkaConnection.from_settings(_settings(), client_id="me")
    assert made == KafkaConnection("broker:9092", client_id="me", sasl_mechanism="SCRAM-SHA-512")


def test_certificates_are_verified() -> None:
    made = KafkaConnection.from_settings(_settings(security="SSL"), client_id="me")
    assert made.ssl_context is not None
    assert made.ssl_context.check_hostname
    assert made.ssl_context.verify_mode is ssl.CERT_REQUIRED


def test_user_and_password_are_passed_on() -> None:
    settings = _settings(security="SASL_SSL", username="reader", password="from-a-secret")
    made = KafkaConnection.from_settings(settings, client_id="me")
    assert (made.sasl_username, made.sasl_password) == ("reader", "from-a-secret")
    assert "from-a-secret" not in repr(settings)
    assert "from-a-secret" not in repr(made)


def test_a_missing_password_is_named() -> None:
    settings = _settings(security="SASL_SSL", username="reader")
    with pytest.raises(ConfigurationError, match="HEADRACE_KAFKA_PASSWORD"):
        KafkaConnection.from_settings(settings, client_id="me")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unusable_certificate_file_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = _settings(security="SSL", ca_file=str(file))
    with pytest.raises(ConfigurationError, match="HEADRACE_KAFKA_CA_FILE"):
        KafkaConnection.from_settings(settings, client_id="me")
