CREATE TABLE ops.erasure_requests (
    id VARCHAR(512) ENCODE ZSTD NOT NULL,
    subject_kind VARCHAR(512) ENCODE ZSTD NOT NULL,
    subject_value VARCHAR(512) ENCODE ZSTD NOT NULL,
    requested_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    state VARCHAR(512) ENCODE ZSTD NOT NULL,
    evidence_key VARCHAR(512) ENCODE ZSTD,
    closed_ts TIMESTAMPTZ ENCODE AZ64,
    PRIMARY KEY (id, subject_kind, subject_value)
)
DISTSTYLE AUTO;
