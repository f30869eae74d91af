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
