CREATE TABLE ops.erasure_requests (
    id text NOT NULL,
    subject_kind text NOT NULL,
    subject_value text NOT NULL,
    requested_ts timestamptz NOT NULL,
    state text NOT NULL,
    evidence_key text,
    closed_ts timestamptz,
    PRIMARY KEY (id, subject_kind, subject_value)
);
