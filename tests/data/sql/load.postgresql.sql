-- add_minutes
INSERT INTO analytics.events_minute AS t (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT
    date_trunc('minute', r.event_ts, 'UTC') AS bucket_start,
    r.source, r.event_type, coalesce(r.event_name, '') AS event_name, coalesce(r.currency, '') AS currency,
    count(*) AS events,
    count(*) FILTER (WHERE r.is_late) AS late_events,
    count(r.revenue) AS revenue_events,
    coalesce(sum(r.revenue), 0) AS revenue,
    min(r.event_ts) AS min_event_ts,
    max(r.event_ts) AS max_event_ts
FROM ops.stage_events_0 r
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (bucket_start, source, event_type, event_name, currency) DO UPDATE SET
    events = t.events + excluded.events,
    late_events = t.late_events + excluded.late_events,
    revenue_events = t.revenue_events + excluded.revenue_events,
    revenue = t.revenue + excluded.revenue,
    min_event_ts = least(t.min_event_ts, excluded.min_event_ts),
    max_event_ts = greatest(t.max_event_ts, excluded.max_event_ts);

-- add_user_days
INSERT INTO analytics.user_day AS t (event_date, user_key, source, events, min_event_ts, max_event_ts)
SELECT r.event_date, r.user_key, r.source, count(*), min(r.event_ts), max(r.event_ts)
FROM ops.stage_events_0 r
WHERE r.identity_status <> 'unresolved'
GROUP BY 1, 2, 3
ORDER BY r.user_key, r.event_date, r.source
ON CONFLICT (user_key, event_date, source) DO UPDATE SET
    events = t.events + excluded.events,
    min_event_ts = least(t.min_event_ts, excluded.min_event_ts),
    max_event_ts = greatest(t.max_event_ts, excluded.max_event_ts);

-- add_user_first_seen
INSERT INTO analytics.user_first_seen AS t (user_key, first_event_ts)
SELECT b.user_key, b.first_event_ts
FROM (
    SELECT r.user_key, min(r.event_ts) AS first_event_ts
    FROM ops.stage_events_0 r
    WHERE r.identity_status <> 'unresolved'
    GROUP BY 1
) b
LEFT JOIN LATERAL (
    SELECT f.first_event_ts FROM analytics.user_first_seen f WHERE f.user_key = b.user_key OFFSET 0
) known ON true
WHERE known.first_event_ts IS NULL OR known.first_event_ts > b.first_event_ts
ORDER BY b.user_key
ON CONFLICT (user_key) DO UPDATE SET
    first_event_ts = excluded.first_event_ts;

-- any_suppressed
SELECT EXISTS (SELECT FROM ops.suppressed_subjects);

-- copy_into_events
COPY analytics.events (dedup_id, event_id, id_source, source, dialect, event_type, event_name, event_ts, received_ts, ts_quality, original_timestamp, tz_offset_min, user_id, anonymous_id, user_key, customer_id, identity_status, session_id, device_type, os, browser, country, page_url, page_path, referrer, referrer_medium, utm_source, utm_medium, utm_campaign, revenue, currency, properties, context, overflow, schema_version, rules_version, src_partition, src_offset, file_id, event_date, loaded_ts, is_late) FROM STDIN (FORMAT binary);

-- copy_into_stage
COPY ops.stage_events_0 (row_number, dedup_id, event_date, src_partition, src_offset, file_id, event_ts, is_late, revenue, source, event_type, event_name, currency, identity_status, user_key, user_id, anonymous_id, customer_id) FROM STDIN (FORMAT binary);

-- create_partition_1
CREATE TABLE analytics.events_p20261120 (LIKE analytics.events INCLUDING DEFAULTS) WITH (toast_tuple_target = 8160);

-- create_partition_2
ALTER TABLE analytics.events ATTACH PARTITION analytics.events_p20261120 FOR VALUES FROM ('2026-11-20') TO ('2026-11-21');

-- create_stage_table
CREATE UNLOGGED TABLE ops.stage_events_0 (
    row_number integer NOT NULL,
    dedup_id uuid NOT NULL,
    event_date date NOT NULL,
    src_partition integer NOT NULL,
    src_offset bigint NOT NULL,
    file_id bigint NOT NULL,
    event_ts timestamptz NOT NULL,
    is_late boolean NOT NULL,
    revenue numeric(18,4),
    source text NOT NULL,
    event_type text NOT NULL,
    event_name text,
    currency text,
    identity_status text NOT NULL,
    user_key text NOT NULL,
    user_id text,
    anonymous_id text,
    customer_id text
) WITH (autovacuum_enabled = off);

-- days_with_rows
SELECT date '2026-11-20' WHERE EXISTS (SELECT FROM analytics.events_p20261120)
UNION ALL
SELECT date '2026-11-21' WHERE EXISTS (SELECT FROM analytics.events_p20261121);

-- expired_days
SELECT event_date FROM ops.day_generation WHERE expired_ts IS NOT NULL AND event_date = ANY(%s);

-- forget_errors
DELETE FROM ops.load_error WHERE file_id = ANY(%s);

-- insert_ledger
INSERT INTO ops.load_ledger (file_id, file_key, chain_partition, chain_start, chain_end, rows_staged, rows_inserted, rows_present, rows_suppressed, min_received_ts, max_received_ts, schema_version, loaded_ts, writer) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- leave_out
DELETE FROM ops.stage_events_0 s
USING unnest(%s::bigint[], %s::integer[]) g(file_id, row_number)
WHERE s.file_id = g.file_id AND s.row_number = g.row_number;

-- ledger_of
SELECT file_id, file_key, chain_partition, chain_start, chain_end, rows_staged, rows_inserted, rows_present, rows_suppressed, min_received_ts, max_received_ts, schema_version, loaded_ts, writer FROM ops.load_ledger WHERE file_id = ANY(%s);

-- loaded_up_to
SELECT chain_partition, max(chain_start)
FROM (
    SELECT chain_partition, chain_start FROM ops.load_ledger
    UNION ALL
    SELECT chain_partition, chain_start FROM ops.load_error
) f
GROUP BY 1;

-- lock
SELECT name FROM ops.load_lock WHERE name = %s FOR UPDATE;

-- missing_tables
SELECT w.name FROM unnest(%s::text[]) w(name)
WHERE NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = split_part(w.name, '.', 1) AND c.relname = split_part(w.name, '.', 2)
);

-- move_displaced
UPDATE ops.load_ledger t
SET rows_inserted = t.rows_inserted - g.moved, rows_present = t.rows_present + g.moved
FROM unnest(%s::bigint[], %s::bigint[]) g(file_id, moved)
WHERE t.file_id = g.file_id;

-- recompute_minutes_1
DELETE FROM analytics.events_minute t
USING (SELECT DISTINCT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[]) AS g(bucket_start, source, event_type, event_name, currency)) f
WHERE t.bucket_start = f.bucket_start AND t.source = f.source AND t.event_type = f.event_type AND t.event_name = f.event_name AND t.currency = f.currency;

-- recompute_minutes_2
INSERT INTO analytics.events_minute (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT
    date_trunc('minute', r.event_ts, 'UTC') AS bucket_start,
    r.source, r.event_type, coalesce(r.event_name, '') AS event_name, coalesce(r.currency, '') AS currency,
    count(*) AS events,
    count(*) FILTER (WHERE r.is_late) AS late_events,
    count(r.revenue) AS revenue_events,
    coalesce(sum(r.revenue), 0) AS revenue,
    min(r.event_ts) AS min_event_ts,
    max(r.event_ts) AS max_event_ts
FROM analytics.events r
JOIN (SELECT DISTINCT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[]) AS g(bucket_start, source, event_type, event_name, currency)) f
  ON r.event_date = (f.bucket_start AT TIME ZONE 'UTC')::date
 AND date_trunc('minute', r.event_ts, 'UTC') = f.bucket_start
 AND r.event_ts >= f.bucket_start AND r.event_ts < f.bucket_start + interval '1 minute'
 AND r.source = f.source AND r.event_type = f.event_type
 AND coalesce(r.event_name, '') = f.event_name AND coalesce(r.currency, '') = f.currency
GROUP BY 1, 2, 3, 4, 5;

-- recompute_user_days_1
DELETE FROM analytics.user_day t
USING (SELECT DISTINCT * FROM unnest(%s::date[], %s::text[], %s::text[]) AS g(event_date, user_key, source)) f
WHERE t.event_date = f.event_date AND t.user_key = f.user_key AND t.source = f.source;

-- recompute_user_days_2
INSERT INTO analytics.user_day (event_date, user_key, source, events, min_event_ts, max_event_ts)
SELECT r.event_date, r.user_key, r.source, count(*), min(r.event_ts), max(r.event_ts)
FROM analytics.events r
JOIN (SELECT DISTINCT * FROM unnest(%s::date[], %s::text[], %s::text[]) AS g(event_date, user_key, source)) f
  ON r.event_date = f.event_date AND r.user_key = f.user_key AND r.source = f.source
WHERE r.identity_status <> 'unresolved'
GROUP BY 1, 2, 3;

-- recompute_user_first_seen_1
DELETE FROM analytics.user_first_seen WHERE user_key = ANY(%s);

-- recompute_user_first_seen_2
INSERT INTO analytics.user_first_seen (user_key, first_event_ts)
SELECT user_key, min(min_event_ts) FROM analytics.user_day WHERE user_key = ANY(%s) GROUP BY 1;

-- release_files
UPDATE ops.load_error SET released_ts = now()
WHERE released_ts IS NULL AND (file_key = ANY(%s) OR %s);

-- released
SELECT DISTINCT chain_partition, chain_start FROM ops.load_error
WHERE released_ts IS NOT NULL ORDER BY 1, 2;

-- remove_displaced
DELETE FROM analytics.events e
USING unnest(%s::uuid[], %s::date[]) g(dedup_id, event_date)
WHERE e.dedup_id = g.dedup_id AND e.event_date = g.event_date
RETURNING date_trunc('minute', e.event_ts, 'UTC'), e.source, e.event_type, coalesce(e.event_name, ''),
          coalesce(e.currency, ''), e.event_date, e.user_key;

-- repeated_in_batch
SELECT s.dedup_id::text, s.event_date, s.src_partition, s.src_offset, s.file_id, s.row_number
FROM ops.stage_events_0 s
WHERE s.dedup_id IN (SELECT dedup_id FROM ops.stage_events_0 GROUP BY dedup_id HAVING count(*) > 1);

-- resum_day
INSERT INTO analytics.events_day AS t (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT
    f.bucket_start, f.source, f.event_type, f.event_name, f.currency,
    sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue),
    min(b.min_event_ts), max(b.max_event_ts)
FROM (
    SELECT DISTINCT date_trunc('day', r.event_ts, 'UTC') AS bucket_start,
        r.source, r.event_type, coalesce(r.event_name, '') AS event_name, coalesce(r.currency, '') AS currency
    FROM ops.stage_events_0 r
) f
JOIN analytics.events_hour b
  ON b.bucket_start >= f.bucket_start AND b.bucket_start < f.bucket_start + interval '1 day'
 AND b.source = f.source AND b.event_type = f.event_type AND b.event_name = f.event_name AND b.currency = f.currency
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (bucket_start, source, event_type, event_name, currency) DO UPDATE SET
    events = excluded.events,
    late_events = excluded.late_events,
    revenue_events = excluded.revenue_events,
    revenue = excluded.revenue,
    min_event_ts = excluded.min_event_ts,
    max_event_ts = excluded.max_event_ts;

-- resum_given_day_1
DELETE FROM analytics.events_day t
USING (SELECT DISTINCT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[]) AS g(bucket_start, source, event_type, event_name, currency)) f
WHERE t.bucket_start = f.bucket_start AND t.source = f.source AND t.event_type = f.event_type AND t.event_name = f.event_name AND t.currency = f.currency;

-- resum_given_day_2
INSERT INTO analytics.events_day (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT
    f.bucket_start, f.source, f.event_type, f.event_name, f.currency,
    sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue),
    min(b.min_event_ts), max(b.max_event_ts)
FROM (SELECT DISTINCT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[]) AS g(bucket_start, source, event_type, event_name, currency)) f
JOIN analytics.events_hour b
  ON b.bucket_start >= f.bucket_start AND b.bucket_start < f.bucket_start + interval '1 day'
 AND b.source = f.source AND b.event_type = f.event_type AND b.event_name = f.event_name AND b.currency = f.currency
GROUP BY 1, 2, 3, 4, 5;

-- resum_given_hour_1
DELETE FROM analytics.events_hour t
USING (SELECT DISTINCT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[]) AS g(bucket_start, source, event_type, event_name, currency)) f
WHERE t.bucket_start = f.bucket_start AND t.source = f.source AND t.event_type = f.event_type AND t.event_name = f.event_name AND t.currency = f.currency;

-- resum_given_hour_2
INSERT INTO analytics.events_hour (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT
    f.bucket_start, f.source, f.event_type, f.event_name, f.currency,
    sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue),
    min(b.min_event_ts), max(b.max_event_ts)
FROM (SELECT DISTINCT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[]) AS g(bucket_start, source, event_type, event_name, currency)) f
JOIN analytics.events_minute b
  ON b.bucket_start >= f.bucket_start AND b.bucket_start < f.bucket_start + interval '1 hour'
 AND b.source = f.source AND b.event_type = f.event_type AND b.event_name = f.event_name AND b.currency = f.currency
GROUP BY 1, 2, 3, 4, 5;

-- resum_hour
INSERT INTO analytics.events_hour AS t (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT
    f.bucket_start, f.source, f.event_type, f.event_name, f.currency,
    sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue),
    min(b.min_event_ts), max(b.max_event_ts)
FROM (
    SELECT DISTINCT date_trunc('hour', r.event_ts, 'UTC') AS bucket_start,
        r.source, r.event_type, coalesce(r.event_name, '') AS event_name, coalesce(r.currency, '') AS currency
    FROM ops.stage_events_0 r
) f
JOIN analytics.events_minute b
  ON b.bucket_start >= f.bucket_start AND b.bucket_start < f.bucket_start + interval '1 hour'
 AND b.source = f.source AND b.event_type = f.event_type AND b.event_name = f.event_name AND b.currency = f.currency
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (bucket_start, source, event_type, event_name, currency) DO UPDATE SET
    events = excluded.events,
    late_events = excluded.late_events,
    revenue_events = excluded.revenue_events,
    revenue = excluded.revenue,
    min_event_ts = excluded.min_event_ts,
    max_event_ts = excluded.max_event_ts;

-- set_aside
INSERT INTO ops.load_error (file_id, file_key, chain_partition, chain_start, rows_staged, code, message, set_aside_ts, released_ts) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (file_id) DO UPDATE SET
    code = excluded.code, message = excluded.message, set_aside_ts = excluded.set_aside_ts, released_ts = NULL;

-- settled
SELECT file_id FROM ops.load_ledger WHERE file_id = ANY(%s)
UNION
SELECT file_id FROM ops.load_error WHERE released_ts IS NULL AND file_id = ANY(%s);

-- stage_columns
SELECT a.attname
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- staged_rows
SELECT file_id, count(*) FROM ops.stage_events_0 GROUP BY 1;

-- stored_near
SELECT s.dedup_id::text, s.event_date, s.src_partition, s.src_offset, s.file_id, s.row_number,
       e.event_date, e.src_partition, e.src_offset, e.file_id
FROM ops.stage_events_0 s
CROSS JOIN LATERAL (VALUES (s.event_date - 1), (s.event_date), (s.event_date + 1)) n(day)
CROSS JOIN LATERAL (
    SELECT e.event_date, e.src_partition, e.src_offset, e.file_id
    FROM analytics.events e
    WHERE e.dedup_id = s.dedup_id AND e.event_date = n.day
    OFFSET 0
) e
WHERE n.day = ANY(%s::date[]);

-- stored_on
SELECT s.dedup_id::text, s.event_date, s.src_partition, s.src_offset, s.file_id, s.row_number,
       e.event_date, e.src_partition, e.src_offset, e.file_id
FROM ops.stage_events_0 s
CROSS JOIN LATERAL (
    SELECT e.event_date, e.src_partition, e.src_offset, e.file_id
    FROM analytics.events_p20261120 e
    WHERE e.dedup_id = s.dedup_id
    OFFSET 0
) e
WHERE s.event_date BETWEEN date '2026-11-20' - 1 AND date '2026-11-20' + 1;

-- take_out_suppressed
DELETE FROM ops.stage_events_0 s
WHERE ('user', s.user_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR ('anonymous', s.anonymous_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR ('customer', s.customer_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
RETURNING s.file_id, s.row_number;

