"""The embedded stack: real Kafka, S3 server and PostgreSQL as child processes."""
