CREATE SCHEMA IF NOT EXISTS analytics;

CREATE SCHEMA IF NOT EXISTS ops;

CREATE TABLE analytics.events (
    dedup_id uuid NOT NULL,
    event_id text NOT NULL,
    id_source text NOT NULL,
    source text NOT NULL,
    dialect text NOT NULL,
    event_type text NOT NULL,
    event_name text,
    event_ts timestamptz NOT NULL,
    received_ts timestamptz NOT NULL,
    ts_quality text NOT NULL,
    original_timestamp text,
    tz_offset_min smallint,
    user_id text,
    anonymous_id text,
    user_key text NOT NULL,
    customer_id text,
    identity_status text NOT NULL,
    session_id text,
    device_type text,
    os text,
    browser text,
    country text,
    page_url text,
    page_path text,
    referrer text,
    referrer_medium text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    revenue numeric(18,4),
    currency text,
    properties json,
    context json,
    overflow json,
    schema_version smallint NOT NULL,
    rules_version smallint NOT NULL,
    src_partition integer NOT NULL,
    src_offset bigint NOT NULL,
    file_id bigint NOT NULL,
    event_date date NOT NULL,
    loaded_ts timestamptz NOT NULL,
    is_late boolean NOT NULL,
    PRIMARY KEY (dedup_id, event_date)
) PARTITION BY RANGE (event_date);

CREATE INDEX events_event_ts ON analytics.events USING brin (event_ts);

CREATE TABLE analytics.events_minute (
    bucket_start timestamptz NOT NULL,
    source text NOT NULL,
    event_type text NOT NULL,
    event_name text NOT NULL,
    currency text NOT NULL,
    events bigint NOT NULL,
    late_events bigint NOT NULL,
    revenue_events bigint NOT NULL,
    revenue numeric(38,4) NOT NULL,
    min_event_ts timestamptz NOT NULL,
    max_event_ts timestamptz NOT NULL,
    PRIMARY KEY (bucket_start, source, event_type, event_name, currency)
);

CREATE TABLE analytics.events_hour (
    bucket_start timestamptz NOT NULL,
    source text NOT NULL,
    event_type text NOT NULL,
    event_name text NOT NULL,
    currency text NOT NULL,
    events bigint NOT NULL,
    late_events bigint NOT NULL,
    revenue_events bigint NOT NULL,
    revenue numeric(38,4) NOT NULL,
    min_event_ts timestamptz NOT NULL,
    max_event_ts timestamptz NOT NULL,
    PRIMARY KEY (bucket_start, source, event_type, event_name, currency)
);

CREATE TABLE analytics.events_day (
    bucket_start timestamptz NOT NULL,
    source text NOT NULL,
    event_type text NOT NULL,
    event_name text NOT NULL,
    currency text NOT NULL,
    events bigint NOT NULL,
    late_events bigint NOT NULL,
    revenue_events bigint NOT NULL,
    revenue numeric(38,4) NOT NULL,
    min_event_ts timestamptz NOT NULL,
    max_event_ts timestamptz NOT NULL,
    PRIMARY KEY (bucket_start, source, event_type, event_name, currency)
);

CREATE TABLE analytics.user_day (
    event_date date NOT NULL,
    user_key text NOT NULL,
    source text NOT NULL,
    events bigint NOT NULL,
    min_event_ts timestamptz NOT NULL,
    max_event_ts timestamptz NOT NULL,
    PRIMARY KEY (user_key, event_date, source)
);

CREATE INDEX user_day_event_date ON analytics.user_day USING brin (event_date);

CREATE TABLE analytics.user_first_seen (
    user_key text NOT NULL,
    first_event_ts timestamptz NOT NULL,
    PRIMARY KEY (user_key)
);

CREATE TABLE analytics.customers (
    customer_id text NOT NULL,
    first_seen_ts timestamptz NOT NULL,
    alias_count bigint NOT NULL,
    updated_ts timestamptz NOT NULL,
    PRIMARY KEY (customer_id)
);

CREATE TABLE analytics.customer_aliases (
    user_key text NOT NULL,
    kind text NOT NULL,
    alias text NOT NULL,
    customer_id text NOT NULL,
    source text NOT NULL,
    confidence numeric(18,4) NOT NULL,
    valid_from timestamptz NOT NULL,
    PRIMARY KEY (user_key)
);

CREATE INDEX customer_aliases_customer_id ON analytics.customer_aliases (customer_id);

CREATE TABLE analytics.sessions (
    session_key text NOT NULL,
    event_date date NOT NULL,
    source text NOT NULL,
    user_key text NOT NULL,
    customer_id text,
    started_ts timestamptz NOT NULL,
    ended_ts timestamptz NOT NULL,
    events bigint NOT NULL,
    pages bigint NOT NULL,
    revenue numeric(38,4) NOT NULL,
    entry_path text,
    exit_path text,
    referrer_medium text,
    utm_source text,
    is_open boolean NOT NULL,
    PRIMARY KEY (session_key)
);

CREATE INDEX sessions_event_date ON analytics.sessions (event_date);

CREATE INDEX sessions_user_key ON analytics.sessions (user_key);

CREATE TABLE analytics.funnels (
    event_date date NOT NULL,
    funnel text NOT NULL,
    step smallint NOT NULL,
    source text NOT NULL,
    step_name text NOT NULL,
    users bigint NOT NULL,
    sessions bigint NOT NULL,
    PRIMARY KEY (event_date, funnel, step, source)
);

CREATE TABLE analytics.cohorts (
    event_date date NOT NULL,
    cohort_date date NOT NULL,
    source text NOT NULL,
    users bigint NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (event_date, cohort_date, source)
);

CREATE TABLE analytics.finance_daily (
    event_date date NOT NULL,
    source text NOT NULL,
    currency text NOT NULL,
    customers bigint NOT NULL,
    orders bigint NOT NULL,
    gross numeric(38,4) NOT NULL,
    refunds numeric(38,4) NOT NULL,
    net numeric(38,4) NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (event_date, source, currency)
);

CREATE TABLE ops.load_ledger (
    file_id bigint NOT NULL,
    file_key text NOT NULL,
    chain_partition integer NOT NULL,
    chain_start bigint NOT NULL,
    chain_end bigint NOT NULL,
    rows_staged bigint NOT NULL,
    rows_inserted bigint NOT NULL,
    rows_present bigint NOT NULL,
    rows_suppressed bigint NOT NULL,
    min_received_ts timestamptz,
    max_received_ts timestamptz,
    schema_version smallint NOT NULL,
    loaded_ts timestamptz NOT NULL,
    writer text NOT NULL,
    PRIMARY KEY (file_id)
);

CREATE INDEX load_ledger_chain_partition_chain_start ON ops.load_ledger (chain_partition, chain_start);

CREATE INDEX load_ledger_loaded_ts ON ops.load_ledger (loaded_ts);

CREATE TABLE ops.load_error (
    file_id bigint NOT NULL,
    file_key text NOT NULL,
    chain_partition integer NOT NULL,
    chain_start bigint NOT NULL,
    rows_staged bigint NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    set_aside_ts timestamptz NOT NULL,
    released_ts timestamptz,
    PRIMARY KEY (file_id)
);

CREATE TABLE ops.load_lock (
    name text NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE ops.day_generation (
    event_date date NOT NULL,
    sequence bigint,
    expired_ts timestamptz,
    PRIMARY KEY (event_date)
);

CREATE TABLE ops.suppressed_subjects (
    kind text NOT NULL,
    value text NOT NULL,
    suppressed_ts timestamptz NOT NULL,
    PRIMARY KEY (kind, value)
);

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
    CAST(a.customer_id AS text) AS customer_id,
    CAST(CASE
        WHEN a.customer_id IS NOT NULL OR LEFT(e.user_key, 2) = 'u:' THEN 'resolved'
        WHEN LEFT(e.user_key, 2) = 'a:' THEN 'anonymous'
        ELSE 'unresolved'
    END AS text) AS identity_status,
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
