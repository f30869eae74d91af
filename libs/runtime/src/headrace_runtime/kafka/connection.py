"""How to reach and convince the brokers."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from headrace_core.errors import ConfigurationError
from headrace_runtime.settings import KafkaSettings

__all__ = ["KafkaConnection"]


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Addresses and credentials. `request_timeout_s` closes a connection that leaves a request unanswered so long."""

    bootstrap_servers: str
    client_id: str = "headrace"
    security_protocol: str = "PLAINTEXT"
    ssl_context: ssl.SSLContext | None = None
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    request_timeout_s: float = 10.0

    @classmethod
    def from_settings(
        cls, settings: KafkaSettings, *, client_id: str, request_timeout_s: float = 10.0
    ) -> KafkaConnection:
        """The connection that the environment describes. Raises ConfigurationError."""
        security = settings.kafka_security
        password = settings.kafka_password
        if security.startswith("SASL") and not (settings.kafka_username and password):
            raise ConfigurationError(
                f"HEADRACE_KAFKA_SECURITY is {security}, but user or password are missing.",
                fix="Set HEADRACE_KAFKA_USERNAME and HEADRACE_KAFKA_PASSWORD.",
                code="configuration",
            )
        return cls(
            settings.kafka_bootstrap,
            client_id=client_id,
            security_protocol=security,
            ssl_context=_ssl_context(settings.kafka_ca_file) if security.endswith("SSL") else None,
            sasl_mechanism=settings.kafka_sasl_mechanism,
            sasl_username=settings.kafka_username,
            sasl_password=password.get_secret_value() if password else None,
            request_timeout_s=request_timeout_s,
        )


def _ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"HEADRACE_KAFKA_CA_FILE names {ca_file}, which cannot be used.",
            why=str(error),
            fix="Name a readable PEM file with at least one certificate.",
            code="configuration",
        ) from error
