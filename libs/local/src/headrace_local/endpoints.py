"""Where the servers of a stack answer, as one value and as the environment of service processes."""

from dataclasses import dataclass

__all__ = ["S3_REGION", "Endpoints"]

S3_REGION = "us-east-1"
"""The region every local S3 server claims to be in; clients must name one to sign requests."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses and credentials of one stack; they stay the same as long as its folder lives."""

    kafka_bootstrap: str
    kafka_cluster_id: str
    s3_endpoint: str
    s3_bucket: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str
    postgres_dsn: str

    def environment(self) -> dict[str, str]:
        """The settings that a Headrace service process reads these endpoints from."""
        return {
            "HEADRACE_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "HEADRACE_S3_ENDPOINT": self.s3_endpoint,
            "HEADRACE_S3_BUCKET": self.s3_bucket,
            "HEADRACE_S3_ACCESS_KEY_ID": self.s3_access_key,
            "HEADRACE_S3_SECRET_ACCESS_KEY": self.s3_secret_key,
            "HEADRACE_S3_REGION": self.s3_region,
            "HEADRACE_WAREHOUSE_DSN": self.postgres_dsn,
        }
