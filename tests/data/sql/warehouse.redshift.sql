CREATE SCHEMA IF NOT EXISTS analytics;

CREATE SCHEMA IF NOT EXISTS ops;

CREATE TABLE analytics.events (
    dedup_id CHAR(32) ENCODE ZSTD NOT NULL,
    event_id VARCHAR(512) ENCODE ZSTD NOT NULL,
    id_source VARCHAR(512) ENCODE ZSTD NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    dialect VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_type VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_name VARCHAR(512) ENCODE ZSTD,
    event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    received_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    ts_quality VARCHAR(512) ENCODE ZSTD NOT NULL,
    original_timestamp VARCHAR(512) ENCODE ZSTD,
    tz_offset_min SMALLINT ENCODE AZ64,
    user_id VARCHAR(512) ENCODE ZSTD,
    anonymous_id VARCHAR(512) ENCODE ZSTD,
    user_key VARCHAR(512) ENCODE ZSTD NOT NULL,
    customer_id VARCHAR(512) ENCODE ZSTD,
    identity_status VARCHAR(512) ENCODE ZSTD NOT NULL,
    session_id VARCHAR(512) ENCODE ZSTD,
    device_type VARCHAR(512) ENCODE ZSTD,
    os VARCHAR(512) ENCODE ZSTD,
    browser VARCHAR(512) ENCODE ZSTD,
    country VARCHAR(512) ENCODE ZSTD,
    page_url VARCHAR(65535) ENCODE ZSTD,
    page_path VARCHAR(65535) ENCODE ZSTD,
    referrer VARCHAR(65535) ENCODE ZSTD,
    referrer_medium VARCHAR(512) ENCODE ZSTD,
    utm_source VARCHAR(512) ENCODE ZSTD,
    utm_medium VARCHAR(512) ENCODE ZSTD,
    utm_campaign VARCHAR(512) ENCODE ZSTD,
    revenue DECIMAL(18,4) ENCODE AZ64,
    currency VARCHAR(512) ENCODE ZSTD,
    properties SUPER ENCODE ZSTD,
    context SUPER ENCODE ZSTD,
    overflow SUPER ENCODE ZSTD,
    schema_version SMALLINT ENCODE AZ64 NOT NULL,
    rules_version SMALLINT ENCODE AZ64 NOT NULL,
    src_partition INTEGER ENCODE AZ64 NOT NULL,
    src_offset BIGINT ENCODE AZ64 NOT NULL,
    file_id BIGINT ENCODE AZ64 NOT NULL,
    event_date DATE ENCODE AZ64 NOT NULL,
    loaded_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    is_late BOOLEAN ENCODE ZSTD NOT NULL,
    PRIMARY KEY (dedup_id, event_date)
)
DISTSTYLE KEY DISTKEY (user_key)
COMPOUND SORTKEY (event_date, event_type, event_ts);

CREATE TABLE analytics.events_minute (
    bucket_start TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_type VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_name VARCHAR(512) ENCODE ZSTD NOT NULL,
    currency VARCHAR(512) ENCODE ZSTD NOT NULL,
    events BIGINT ENCODE AZ64 NOT NULL,
    late_events BIGINT ENCODE AZ64 NOT NULL,
    revenue_events BIGINT ENCODE AZ64 NOT NULL,
    revenue DECIMAL(38,4) ENCODE AZ64 NOT NULL,
    min_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    max_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    PRIMARY KEY (bucket_start, source, event_type, event_name, currency)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (bucket_start, event_type);

CREATE TABLE analytics.events_hour (
    bucket_start TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_type VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_name VARCHAR(512) ENCODE ZSTD NOT NULL,
    currency VARCHAR(512) ENCODE ZSTD NOT NULL,
    events BIGINT ENCODE AZ64 NOT NULL,
    late_events BIGINT ENCODE AZ64 NOT NULL,
    revenue_events BIGINT ENCODE AZ64 NOT NULL,
    revenue DECIMAL(38,4) ENCODE AZ64 NOT NULL,
    min_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    max_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    PRIMARY KEY (bucket_start, source, event_type, event_name, currency)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (bucket_start, event_type);

CREATE TABLE analytics.events_day (
    bucket_start TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_type VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_name VARCHAR(512) ENCODE ZSTD NOT NULL,
    currency VARCHAR(512) ENCODE ZSTD NOT NULL,
    events BIGINT ENCODE AZ64 NOT NULL,
    late_events BIGINT ENCODE AZ64 NOT NULL,
    revenue_events BIGINT ENCODE AZ64 NOT NULL,
    revenue DECIMAL(38,4) ENCODE AZ64 NOT NULL,
    min_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    max_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    PRIMARY KEY (bucket_start, source, event_type, event_name, currency)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (bucket_start, event_type);

CREATE TABLE analytics.user_day (
    event_date DATE ENCODE AZ64 NOT NULL,
    user_key VARCHAR(512) ENCODE ZSTD NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    events BIGINT ENCODE AZ64 NOT NULL,
    min_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    max_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    PRIMARY KEY (user_key, event_date, source)
)
DISTSTYLE KEY DISTKEY (user_key)
COMPOUND SORTKEY (event_date);

CREATE TABLE analytics.user_first_seen (
    user_key VARCHAR(512) ENCODE ZSTD NOT NULL,
    first_event_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    PRIMARY KEY (user_key)
)
DISTSTYLE KEY DISTKEY (user_key)
COMPOUND SORTKEY (first_event_ts);

CREATE TABLE analytics.customers (
    customer_id VARCHAR(512) ENCODE ZSTD NOT NULL,
    first_seen_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    alias_count BIGINT ENCODE AZ64 NOT NULL,
    updated_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    PRIMARY KEY (customer_id)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (customer_id);

CREATE TABLE analytics.customer_aliases (
    user_key VARCHAR(512) ENCODE ZSTD NOT NULL,
    kind VARCHAR(512) ENCODE ZSTD NOT NULL,
    alias VARCHAR(512) ENCODE ZSTD NOT NULL,
    customer_id VARCHAR(512) ENCODE ZSTD NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    confidence DECIMAL(18,4) ENCODE AZ64 NOT NULL,
    valid_from TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    PRIMARY KEY (user_key)
)
DISTSTYLE KEY DISTKEY (user_key)
COMPOUND SORTKEY (user_key);

CREATE TABLE analytics.sessions (
    session_key VARCHAR(512) ENCODE ZSTD NOT NULL,
    event_date DATE ENCODE AZ64 NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    user_key VARCHAR(512) ENCODE ZSTD NOT NULL,
    customer_id VARCHAR(512) ENCODE ZSTD,
    started_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    ended_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    events BIGINT ENCODE AZ64 NOT NULL,
    pages BIGINT ENCODE AZ64 NOT NULL,
    revenue DECIMAL(38,4) ENCODE AZ64 NOT NULL,
    entry_path VARCHAR(65535) ENCODE ZSTD,
    exit_path VARCHAR(65535) ENCODE ZSTD,
    referrer_medium VARCHAR(512) ENCODE ZSTD,
    utm_source VARCHAR(512) ENCODE ZSTD,
    is_open BOOLEAN ENCODE ZSTD NOT NULL,
    PRIMARY KEY (session_key)
)
DISTSTYLE KEY DISTKEY (user_key)
COMPOUND SORTKEY (event_date, started_ts);

CREATE TABLE analytics.funnels (
    event_date DATE ENCODE AZ64 NOT NULL,
    funnel VARCHAR(512) ENCODE ZSTD NOT NULL,
    step SMALLINT ENCODE AZ64 NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    step_name VARCHAR(512) ENCODE ZSTD NOT NULL,
    users BIGINT ENCODE AZ64 NOT NULL,
    sessions BIGINT ENCODE AZ64 NOT NULL,
    PRIMARY KEY (event_date, funnel, step, source)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (event_date);

CREATE TABLE analytics.cohorts (
    event_date DATE ENCODE AZ64 NOT NULL,
    cohort_date DATE ENCODE AZ64 NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    users BIGINT ENCODE AZ64 NOT NULL,
    events BIGINT ENCODE AZ64 NOT NULL,
    PRIMARY KEY (event_date, cohort_date, source)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (event_date);

CREATE TABLE analytics.finance_daily (
    event_date DATE ENCODE AZ64 NOT NULL,
    source VARCHAR(512) ENCODE ZSTD NOT NULL,
    currency VARCHAR(512) ENCODE ZSTD NOT NULL,
    customers BIGINT ENCODE AZ64 NOT NULL,
    orders BIGINT ENCODE AZ64 NOT NULL,
    gross DECIMAL(38,4) ENCODE AZ64 NOT NULL,
    refunds DECIMAL(38,4) ENCODE AZ64 NOT NULL,
    net DECIMAL(38,4) ENCODE AZ64 NOT NULL,
    events BIGINT ENCODE AZ64 NOT NULL,
    PRIMARY KEY (event_date, source, currency)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (event_date);

CREATE TABLE ops.load_ledger (
    file_id BIGINT ENCODE AZ64 NOT NULL,
    file_key VARCHAR(512) ENCODE ZSTD NOT NULL,
    chain_partition INTEGER ENCODE AZ64 NOT NULL,
    chain_start BIGINT ENCODE AZ64 NOT NULL,
    chain_end BIGINT ENCODE AZ64 NOT NULL,
    rows_staged BIGINT ENCODE AZ64 NOT NULL,
    rows_inserted BIGINT ENCODE AZ64 NOT NULL,
    rows_present BIGINT ENCODE AZ64 NOT NULL,
    rows_suppressed BIGINT ENCODE AZ64 NOT NULL,
    min_received_ts TIMESTAMPTZ ENCODE AZ64,
    max_received_ts TIMESTAMPTZ ENCODE AZ64,
    schema_version SMALLINT ENCODE AZ64 NOT NULL,
    loaded_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    writer VARCHAR(512) ENCODE ZSTD NOT NULL,
    PRIMARY KEY (file_id)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (loaded_ts);

CREATE TABLE ops.load_error (
    file_id BIGINT ENCODE AZ64 NOT NULL,
    file_key VARCHAR(512) ENCODE ZSTD NOT NULL,
    chain_partition INTEGER ENCODE AZ64 NOT NULL,
    chain_start BIGINT ENCODE AZ64 NOT NULL,
    rows_staged BIGINT ENCODE AZ64 NOT NULL,
    code VARCHAR(512) ENCODE ZSTD NOT NULL,
    message VARCHAR(65535) ENCODE ZSTD NOT NULL,
    set_aside_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    released_ts TIMESTAMPTZ ENCODE AZ64,
    PRIMARY KEY (file_id)
)
DISTSTYLE AUTO
COMPOUND SORTKEY (set_aside_ts);

CREATE TABLE ops.load_lock (
    name VARCHAR(512) ENCODE ZSTD NOT NULL,
    PRIMARY KEY (name)
)
DISTSTYLE AUTO;

CREATE TABLE ops.day_generation (
    event_date DATE ENCODE AZ64 NOT NULL,
    sequence BIGINT ENCODE AZ64,
    expired_ts TIMESTAMPTZ ENCODE AZ64,
    PRIMARY KEY (event_date)
)
DISTSTYLE AUTO;

CREATE TABLE ops.suppressed_subjects (
    kind VARCHAR(512) ENCODE ZSTD NOT NULL,
    value VARCHAR(512) ENCODE ZSTD NOT NULL,
    suppressed_ts TIMESTAMPTZ ENCODE AZ64 NOT NULL,
    PRIMARY KEY (kind, value)
)
DISTSTYLE AUTO;

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

CREATE OR REPLACE VIEW analytics.events_resolved AS
SELECT
    e.dedup_id,
    e.event_id,
    e.id_source,
    e.source,
    e.dialect,
    e.event_type,
    e.event_name,
    e.event_ts,
    e.received_ts,
    e.ts_quality,
    e.original_timestamp,
    e.tz_offset_min,
    e.user_id,
    e.anonymous_id,
    e.user_key,
    CAST(a.customer_id AS VARCHAR(512)) AS customer_id,
    CAST(CASE
        WHEN a.customer_id IS NOT NULL OR LEFT(e.user_key, 2) = 'u:' THEN 'resolved'
        WHEN LEFT(e.user_key, 2) = 'a:' THEN 'anonymous'
        ELSE 'unresolved'
    END AS VARCHAR(512)) AS identity_status,
    e.session_id,
    e.device_type,
    e.os,
    e.browser,
    e.country,
    e.page_url,
    e.page_path,
    e.referrer,
    e.referrer_medium,
    e.utm_source,
    e.utm_medium,
    e.utm_campaign,
    e.revenue,
    e.currency,
    e.properties,
    e.context,
    e.overflow,
    e.schema_version,
    e.rules_version,
    e.src_partition,
    e.src_offset,
    e.file_id,
    e.event_date,
    e.loaded_ts,
    e.is_late
FROM analytics.events e
LEFT JOIN analytics.customer_aliases a ON a.user_key = e.user_key;

INSERT INTO ops.load_lock (name) VALUES ('events');
