-- buckets_touched
SELECT DISTINCT bucket_start, source, event_type, event_name, currency FROM pg_temp.day_touched;

-- change_rows
UPDATE analytics.events e
SET event_id = s.event_id, id_source = s.id_source, source = s.source, dialect = s.dialect, event_type = s.event_type, event_name = s.event_name, event_ts = s.event_ts, received_ts = s.received_ts, ts_quality = s.ts_quality, original_timestamp = s.original_timestamp, tz_offset_min = s.tz_offset_min, user_id = s.user_id, anonymous_id = s.anonymous_id, user_key = s.user_key, customer_id = s.customer_id, identity_status = s.identity_status, session_id = s.session_id, device_type = s.device_type, os = s.os, browser = s.browser, country = s.country, page_url = s.page_url, page_path = s.page_path, referrer = s.referrer, referrer_medium = s.referrer_medium, utm_source = s.utm_source, utm_medium = s.utm_medium, utm_campaign = s.utm_campaign, revenue = s.revenue, currency = s.currency, properties = s.properties, context = s.context, overflow = s.overflow, schema_version = s.schema_version, rules_version = s.rules_version, src_partition = s.src_partition, src_offset = s.src_offset, file_id = s.file_id, is_late = s.is_late, loaded_ts = now()
FROM pg_temp.day_pairs p
JOIN pg_temp.day_events s ON s.dedup_id = p.dedup_id
WHERE p.action = 'change' AND e.event_date = date '2026-11-20' AND e.dedup_id = p.dedup_id;

-- compare
INSERT INTO pg_temp.day_pairs (dedup_id, seen, action, touches)
SELECT coalesce(s.dedup_id, e.dedup_id), e.seen,
    CASE
        WHEN e.dedup_id IS NULL THEN 'put'
        WHEN s.dedup_id IS NULL THEN 'remove'
        WHEN (s.dedup_id, s.event_id, s.id_source, s.source, s.dialect, s.event_type, s.event_name, s.event_ts, s.received_ts, s.ts_quality, s.original_timestamp, s.tz_offset_min, s.user_id, s.anonymous_id, s.user_key, s.customer_id, s.identity_status, s.session_id, s.device_type, s.os, s.browser, s.country, s.page_url, s.page_path, s.referrer, s.referrer_medium, s.utm_source, s.utm_medium, s.utm_campaign, s.revenue, s.currency, s.properties::text, s.context::text, s.overflow::text, s.schema_version, s.rules_version, s.src_partition, s.src_offset, s.file_id, s.event_date, s.is_late) IS DISTINCT FROM (e.dedup_id, e.event_id, e.id_source, e.source, e.dialect, e.event_type, e.event_name, e.event_ts, e.received_ts, e.ts_quality, e.original_timestamp, e.tz_offset_min, e.user_id, e.anonymous_id, e.user_key, e.customer_id, e.identity_status, e.session_id, e.device_type, e.os, e.browser, e.country, e.page_url, e.page_path, e.referrer, e.referrer_medium, e.utm_source, e.utm_medium, e.utm_campaign, e.revenue, e.currency, e.properties::text, e.context::text, e.overflow::text, e.schema_version, e.rules_version, e.src_partition, e.src_offset, e.file_id, e.event_date, e.is_late) THEN 'change'
        ELSE 'same'
    END,
    (s.source, s.event_type, s.event_name, s.event_ts, s.user_key, s.identity_status, s.revenue, s.currency, s.file_id, s.is_late) IS DISTINCT FROM (e.source, e.event_type, e.event_name, e.event_ts, e.user_key, e.identity_status, e.revenue, e.currency, e.file_id, e.is_late)
FROM (SELECT * FROM pg_temp.day_events s) s
FULL JOIN (SELECT e.*, e.xmin AS seen FROM analytics.events e WHERE e.event_date = date '2026-11-20' AND e.file_id IN (SELECT f.file_id FROM pg_temp.day_files f)) e ON e.dedup_id = s.dedup_id;

-- compare_stale
INSERT INTO pg_temp.day_pairs (dedup_id, seen, action, touches)
SELECT coalesce(s.dedup_id, e.dedup_id), e.seen,
    CASE
        WHEN e.dedup_id IS NULL THEN 'put'
        WHEN s.dedup_id IS NULL THEN 'remove'
        WHEN (s.dedup_id, s.event_id, s.id_source, s.source, s.dialect, s.event_type, s.event_name, s.event_ts, s.received_ts, s.ts_quality, s.original_timestamp, s.tz_offset_min, s.user_id, s.anonymous_id, s.user_key, s.customer_id, s.identity_status, s.session_id, s.device_type, s.os, s.browser, s.country, s.page_url, s.page_path, s.referrer, s.referrer_medium, s.utm_source, s.utm_medium, s.utm_campaign, s.revenue, s.currency, s.properties::text, s.context::text, s.overflow::text, s.schema_version, s.rules_version, s.src_partition, s.src_offset, s.file_id, s.event_date, s.is_late) IS DISTINCT FROM (e.dedup_id, e.event_id, e.id_source, e.source, e.dialect, e.event_type, e.event_name, e.event_ts, e.received_ts, e.ts_quality, e.original_timestamp, e.tz_offset_min, e.user_id, e.anonymous_id, e.user_key, e.customer_id, e.identity_status, e.session_id, e.device_type, e.os, e.browser, e.country, e.page_url, e.page_path, e.referrer, e.referrer_medium, e.utm_source, e.utm_medium, e.utm_campaign, e.revenue, e.currency, e.properties::text, e.context::text, e.overflow::text, e.schema_version, e.rules_version, e.src_partition, e.src_offset, e.file_id, e.event_date, e.is_late) THEN 'change'
        ELSE 'same'
    END,
    (s.source, s.event_type, s.event_name, s.event_ts, s.user_key, s.identity_status, s.revenue, s.currency, s.file_id, s.is_late) IS DISTINCT FROM (e.source, e.event_type, e.event_name, e.event_ts, e.user_key, e.identity_status, e.revenue, e.currency, e.file_id, e.is_late)
FROM (SELECT * FROM pg_temp.day_events s WHERE s.dedup_id IN (SELECT x.dedup_id FROM pg_temp.day_stale x)) s
FULL JOIN (SELECT e.*, e.xmin AS seen FROM analytics.events e WHERE e.event_date = date '2026-11-20' AND e.file_id IN (SELECT f.file_id FROM pg_temp.day_files f) AND e.dedup_id IN (SELECT x.dedup_id FROM pg_temp.day_stale x)) e ON e.dedup_id = s.dedup_id;

-- contained
pg_temp.day_files;

-- contested
SELECT s.dedup_id::text, s.event_date, s.src_partition, s.src_offset, s.file_id,
       e.event_date, e.src_partition, e.src_offset, e.file_id
FROM pg_temp.day_candidates c
JOIN pg_temp.day_events s ON s.dedup_id = c.dedup_id
JOIN analytics.events e ON e.dedup_id = c.dedup_id
WHERE e.event_date BETWEEN date '2026-11-19' AND date '2026-11-21';

-- count_actions
SELECT action, count(*) FROM pg_temp.day_pairs GROUP BY 1;

-- create_0
CREATE TEMPORARY TABLE day_files (file_id bigint PRIMARY KEY);

-- create_1
CREATE TEMPORARY TABLE day_subjects (kind text NOT NULL, value text NOT NULL);

-- create_2
CREATE TEMPORARY TABLE day_pairs (dedup_id uuid NOT NULL, seen xid, action text NOT NULL, touches boolean);

-- create_3
CREATE TEMPORARY TABLE day_stale (dedup_id uuid NOT NULL);

-- create_4
CREATE TEMPORARY TABLE day_candidates (dedup_id uuid NOT NULL);

-- create_5
CREATE TEMPORARY TABLE day_touched (
    bucket_start timestamptz, source text, event_type text, event_name text, currency text,
    event_date date, user_key text, file_id bigint, moved integer, suppressed boolean
);

-- create_stage
CREATE TEMPORARY TABLE day_events (
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
    is_late boolean NOT NULL
);

-- create_users
CREATE TEMPORARY TABLE day_users (user_key text NOT NULL);

-- day_state
SELECT g.sequence, g.expired_ts IS NOT NULL FROM ops.day_generation g WHERE g.event_date = %s;

-- delete_suppressed
WITH gone AS (
DELETE FROM analytics.events e
WHERE ('user', e.user_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR ('anonymous', e.anonymous_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR ('customer', e.customer_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
RETURNING date_trunc('minute', e.event_ts, 'UTC') AS bucket_start, e.source, e.event_type,
    coalesce(e.event_name, '') AS event_name, coalesce(e.currency, '') AS currency,
    e.event_date, e.user_key, e.file_id, -1 AS moved, true AS suppressed
)
INSERT INTO pg_temp.day_touched SELECT * FROM gone;

-- events_day_delete_gone
DELETE FROM analytics.events_day t
WHERE t.bucket_start >= '2026-11-20 00:00:00+00' AND t.bucket_start < '2026-11-21 00:00:00+00'
  AND NOT EXISTS (SELECT FROM pg_temp.day_events_day s WHERE s.bucket_start = t.bucket_start AND s.source = t.source AND s.event_type = t.event_type AND s.event_name = t.event_name AND s.currency = t.currency);

-- events_day_insert_new
INSERT INTO analytics.events_day (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT s.bucket_start, s.source, s.event_type, s.event_name, s.currency, s.events, s.late_events, s.revenue_events, s.revenue, s.min_event_ts, s.max_event_ts
FROM pg_temp.day_events_day s
WHERE NOT EXISTS (SELECT FROM analytics.events_day t WHERE t.bucket_start = s.bucket_start AND t.source = s.source AND t.event_type = s.event_type AND t.event_name = s.event_name AND t.currency = s.currency);

-- events_day_take_out_suppressed
DELETE FROM pg_temp.day_events_day s WHERE false;

-- events_day_update_changed
UPDATE analytics.events_day t
SET events = s.events, late_events = s.late_events, revenue_events = s.revenue_events, revenue = s.revenue, min_event_ts = s.min_event_ts, max_event_ts = s.max_event_ts
FROM pg_temp.day_events_day s
WHERE t.bucket_start >= '2026-11-20 00:00:00+00' AND t.bucket_start < '2026-11-21 00:00:00+00' AND s.bucket_start = t.bucket_start AND s.source = t.source AND s.event_type = t.event_type AND s.event_name = t.event_name AND s.currency = t.currency
  AND (t.events, t.late_events, t.revenue_events, t.revenue, t.min_event_ts, t.max_event_ts) IS DISTINCT FROM (s.events, s.late_events, s.revenue_events, s.revenue, s.min_event_ts, s.max_event_ts);

-- forget_stale
DELETE FROM pg_temp.day_pairs WHERE dedup_id IN (SELECT x.dedup_id FROM pg_temp.day_stale x);

-- funnels_delete_gone
DELETE FROM analytics.funnels t
WHERE t.event_date = date '2026-11-20'
  AND NOT EXISTS (SELECT FROM pg_temp.day_funnels s WHERE s.event_date = t.event_date AND s.funnel = t.funnel AND s.step = t.step AND s.source = t.source);

-- funnels_insert_new
INSERT INTO analytics.funnels (event_date, funnel, step, source, step_name, users, sessions)
SELECT s.event_date, s.funnel, s.step, s.source, s.step_name, s.users, s.sessions
FROM pg_temp.day_funnels s
WHERE NOT EXISTS (SELECT FROM analytics.funnels t WHERE t.event_date = s.event_date AND t.funnel = s.funnel AND t.step = s.step AND t.source = s.source);

-- funnels_take_out_suppressed
DELETE FROM pg_temp.day_funnels s WHERE false;

-- funnels_update_changed
UPDATE analytics.funnels t
SET step_name = s.step_name, users = s.users, sessions = s.sessions
FROM pg_temp.day_funnels s
WHERE t.event_date = date '2026-11-20' AND s.event_date = t.event_date AND s.funnel = t.funnel AND s.step = t.step AND s.source = t.source
  AND (t.step_name, t.users, t.sessions) IS DISTINCT FROM (s.step_name, s.users, s.sessions);

-- insert_candidates
INSERT INTO analytics.events (dedup_id, event_id, id_source, source, dialect, event_type, event_name, event_ts, received_ts, ts_quality, original_timestamp, tz_offset_min, user_id, anonymous_id, user_key, customer_id, identity_status, session_id, device_type, os, browser, country, page_url, page_path, referrer, referrer_medium, utm_source, utm_medium, utm_campaign, revenue, currency, properties, context, overflow, schema_version, rules_version, src_partition, src_offset, file_id, event_date, is_late, loaded_ts)
SELECT s.dedup_id, s.event_id, s.id_source, s.source, s.dialect, s.event_type, s.event_name, s.event_ts, s.received_ts, s.ts_quality, s.original_timestamp, s.tz_offset_min, s.user_id, s.anonymous_id, s.user_key, s.customer_id, s.identity_status, s.session_id, s.device_type, s.os, s.browser, s.country, s.page_url, s.page_path, s.referrer, s.referrer_medium, s.utm_source, s.utm_medium, s.utm_campaign, s.revenue, s.currency, s.properties, s.context, s.overflow, s.schema_version, s.rules_version, s.src_partition, s.src_offset, s.file_id, s.event_date, s.is_late, now()
FROM pg_temp.day_candidates c
JOIN pg_temp.day_events s ON s.dedup_id = c.dedup_id;

-- keep_contained
INSERT INTO pg_temp.day_files SELECT DISTINCT f.file_id FROM unnest(%s::bigint[]) f(file_id);

-- keep_subjects
INSERT INTO pg_temp.day_subjects SELECT x.kind, x.value FROM ops.suppressed_subjects x;

-- late_minutes
INSERT INTO pg_temp.due_events_minute
SELECT b.bucket_start, b.source, b.event_type, b.event_name, b.currency, sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue), min(b.min_event_ts), max(b.max_event_ts)
FROM (
    SELECT bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts FROM pg_temp.day_events_minute
    UNION ALL
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
    WHERE r.event_date = date '2026-11-20' AND NOT EXISTS (SELECT FROM pg_temp.day_files f WHERE f.file_id = r.file_id)
    GROUP BY 1, 2, 3, 4, 5
) b
GROUP BY 1, 2, 3, 4, 5;

-- late_user_days
INSERT INTO pg_temp.due_user_day
SELECT b.event_date, b.user_key, b.source, sum(b.events), min(b.min_event_ts), max(b.max_event_ts)
FROM (
    SELECT event_date, user_key, source, events, min_event_ts, max_event_ts FROM pg_temp.day_user_day
    UNION ALL
    SELECT r.event_date, r.user_key, r.source, count(*), min(r.event_ts), max(r.event_ts)
    FROM analytics.events r
    WHERE r.event_date = date '2026-11-20' AND NOT EXISTS (SELECT FROM pg_temp.day_files f WHERE f.file_id = r.file_id) AND r.identity_status <> 'unresolved'
    GROUP BY 1, 2, 3
) b
GROUP BY 1, 2, 3;

-- leave_out
DELETE FROM pg_temp.day_candidates WHERE dedup_id = ANY(%s::uuid[]);

-- mark_stale
INSERT INTO pg_temp.day_stale
SELECT coalesce(p.dedup_id, e.dedup_id)
FROM pg_temp.day_pairs p
FULL JOIN (
    SELECT e.dedup_id, e.xmin AS seen FROM analytics.events e WHERE e.event_date = date '2026-11-20' AND e.file_id IN (SELECT f.file_id FROM pg_temp.day_files f)
) e ON e.dedup_id = p.dedup_id
WHERE p.seen IS DISTINCT FROM e.seen;

-- move_in_ledger
UPDATE ops.load_ledger t
SET rows_inserted = t.rows_inserted - g.suppressed + g.moved,
    rows_present = t.rows_present - g.moved,
    rows_suppressed = t.rows_suppressed + g.suppressed
FROM (
    SELECT l.file_id, a.suppressed, greatest(least(m.moved, l.rows_present), a.suppressed - l.rows_inserted) AS moved
    FROM (
        SELECT file_id, coalesce(sum(moved) FILTER (WHERE NOT suppressed), 0) AS moved, count(*) FILTER (WHERE suppressed) AS suppressed
        FROM pg_temp.day_touched GROUP BY 1
    ) m
    JOIN ops.load_ledger l ON l.file_id = m.file_id
    CROSS JOIN LATERAL (SELECT least(m.suppressed, l.rows_inserted) AS suppressed) a
) g
WHERE t.file_id = g.file_id AND (g.moved <> 0 OR g.suppressed <> 0);

-- new_subjects
SELECT EXISTS (
    SELECT x.kind, x.value FROM ops.suppressed_subjects x EXCEPT SELECT s.kind, s.value FROM pg_temp.day_subjects s
);

-- note_candidates
INSERT INTO pg_temp.day_candidates SELECT dedup_id FROM pg_temp.day_pairs WHERE action = 'put';

-- note_changes
INSERT INTO pg_temp.day_touched
SELECT date_trunc('minute', e.event_ts, 'UTC') AS bucket_start, e.source, e.event_type,
    coalesce(e.event_name, '') AS event_name, coalesce(e.currency, '') AS currency,
    e.event_date, e.user_key, e.file_id, -1 AS moved, false AS suppressed
FROM pg_temp.day_pairs p
JOIN analytics.events e ON e.event_date = date '2026-11-20' AND e.dedup_id = p.dedup_id
WHERE p.action = 'change' AND p.touches
UNION ALL
SELECT date_trunc('minute', s.event_ts, 'UTC') AS bucket_start, s.source, s.event_type,
    coalesce(s.event_name, '') AS event_name, coalesce(s.currency, '') AS currency,
    s.event_date, s.user_key, s.file_id, 1 AS moved, false AS suppressed
FROM pg_temp.day_pairs p
JOIN pg_temp.day_events s ON s.dedup_id = p.dedup_id
WHERE p.action = 'change' AND p.touches;

-- note_inserted
INSERT INTO pg_temp.day_touched
SELECT date_trunc('minute', s.event_ts, 'UTC') AS bucket_start, s.source, s.event_type,
    coalesce(s.event_name, '') AS event_name, coalesce(s.currency, '') AS currency,
    s.event_date, s.user_key, s.file_id, 1 AS moved, false AS suppressed
FROM pg_temp.day_candidates c
JOIN pg_temp.day_events s ON s.dedup_id = c.dedup_id;

-- note_users
INSERT INTO pg_temp.day_users
SELECT DISTINCT coalesce(t.user_key, d.user_key)
FROM pg_temp.due_user_day d
FULL JOIN (SELECT * FROM analytics.user_day u WHERE u.event_date = date '2026-11-20') t
  ON t.user_key = d.user_key AND t.event_date = d.event_date AND t.source = d.source
WHERE t.user_key IS NULL OR d.user_key IS NULL OR (t.events, t.min_event_ts, t.max_event_ts) IS DISTINCT FROM (d.events, d.min_event_ts, d.max_event_ts);

-- recompute_minutes_1
DELETE FROM analytics.events_minute t
USING (SELECT DISTINCT bucket_start, source, event_type, event_name, currency FROM pg_temp.day_touched) f
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
FROM (SELECT * FROM analytics.events WHERE event_date BETWEEN date '2026-11-19' AND date '2026-11-21') r
JOIN (SELECT DISTINCT bucket_start, source, event_type, event_name, currency FROM pg_temp.day_touched) f
  ON r.event_date = (f.bucket_start AT TIME ZONE 'UTC')::date
 AND date_trunc('minute', r.event_ts, 'UTC') = f.bucket_start
 AND r.event_ts >= f.bucket_start AND r.event_ts < f.bucket_start + interval '1 minute'
 AND r.source = f.source AND r.event_type = f.event_type
 AND coalesce(r.event_name, '') = f.event_name AND coalesce(r.currency, '') = f.currency
GROUP BY 1, 2, 3, 4, 5;

-- recompute_user_days_1
DELETE FROM analytics.user_day t
USING (SELECT DISTINCT event_date, user_key, source FROM pg_temp.day_touched) f
WHERE t.event_date = f.event_date AND t.user_key = f.user_key AND t.source = f.source;

-- recompute_user_days_2
INSERT INTO analytics.user_day (event_date, user_key, source, events, min_event_ts, max_event_ts)
SELECT r.event_date, r.user_key, r.source, count(*), min(r.event_ts), max(r.event_ts)
FROM (SELECT * FROM analytics.events WHERE event_date BETWEEN date '2026-11-19' AND date '2026-11-21') r
JOIN (SELECT DISTINCT event_date, user_key, source FROM pg_temp.day_touched) f
  ON r.event_date = f.event_date AND r.user_key = f.user_key AND r.source = f.source
WHERE r.identity_status <> 'unresolved'
GROUP BY 1, 2, 3;

-- recompute_user_first_seen_1
DELETE FROM analytics.user_first_seen WHERE user_key IN (SELECT user_key FROM pg_temp.day_touched);

-- recompute_user_first_seen_2
INSERT INTO analytics.user_first_seen (user_key, first_event_ts)
SELECT user_key, min(min_event_ts) FROM analytics.user_day WHERE user_key IN (SELECT user_key FROM pg_temp.day_touched) GROUP BY 1;

-- remove_displaced
WITH gone AS (
DELETE FROM analytics.events e
USING unnest(%s::uuid[], %s::date[]) g(dedup_id, event_date)
WHERE e.dedup_id = g.dedup_id AND e.event_date = g.event_date
RETURNING date_trunc('minute', e.event_ts, 'UTC') AS bucket_start, e.source, e.event_type,
    coalesce(e.event_name, '') AS event_name, coalesce(e.currency, '') AS currency,
    e.event_date, e.user_key, e.file_id, -1 AS moved, false AS suppressed
)
INSERT INTO pg_temp.day_touched SELECT * FROM gone;

-- remove_rows
WITH gone AS (
DELETE FROM analytics.events e
USING pg_temp.day_pairs p
WHERE p.action = 'remove' AND e.event_date = date '2026-11-20' AND e.dedup_id = p.dedup_id
RETURNING date_trunc('minute', e.event_ts, 'UTC') AS bucket_start, e.source, e.event_type,
    coalesce(e.event_name, '') AS event_name, coalesce(e.currency, '') AS currency,
    e.event_date, e.user_key, e.file_id, -1 AS moved, coalesce((('user', e.user_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR ('anonymous', e.anonymous_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR ('customer', e.customer_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)), false) AS suppressed
)
INSERT INTO pg_temp.day_touched SELECT * FROM gone;

-- repeated
SELECT s.dedup_id::text FROM pg_temp.day_events s GROUP BY 1 HAVING count(*) > 1 LIMIT 1;

-- resum_day_1
DELETE FROM analytics.events_day t
USING (SELECT DISTINCT date_trunc('day', bucket_start, 'UTC') AS bucket_start, source, event_type, event_name, currency
FROM pg_temp.day_touched) f
WHERE t.bucket_start = f.bucket_start AND t.source = f.source AND t.event_type = f.event_type AND t.event_name = f.event_name AND t.currency = f.currency;

-- resum_day_2
INSERT INTO analytics.events_day (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT
    f.bucket_start, f.source, f.event_type, f.event_name, f.currency,
    sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue),
    min(b.min_event_ts), max(b.max_event_ts)
FROM (SELECT DISTINCT date_trunc('day', bucket_start, 'UTC') AS bucket_start, source, event_type, event_name, currency
FROM pg_temp.day_touched) f
JOIN analytics.events_hour b
  ON b.bucket_start >= f.bucket_start AND b.bucket_start < f.bucket_start + interval '1 day'
 AND b.source = f.source AND b.event_type = f.event_type AND b.event_name = f.event_name AND b.currency = f.currency
GROUP BY 1, 2, 3, 4, 5;

-- resum_hour_1
DELETE FROM analytics.events_hour t
USING (SELECT DISTINCT date_trunc('hour', bucket_start, 'UTC') AS bucket_start, source, event_type, event_name, currency
FROM pg_temp.day_touched) f
WHERE t.bucket_start = f.bucket_start AND t.source = f.source AND t.event_type = f.event_type AND t.event_name = f.event_name AND t.currency = f.currency;

-- resum_hour_2
INSERT INTO analytics.events_hour (bucket_start, source, event_type, event_name, currency, events, late_events, revenue_events, revenue, min_event_ts, max_event_ts)
SELECT
    f.bucket_start, f.source, f.event_type, f.event_name, f.currency,
    sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue),
    min(b.min_event_ts), max(b.max_event_ts)
FROM (SELECT DISTINCT date_trunc('hour', bucket_start, 'UTC') AS bucket_start, source, event_type, event_name, currency
FROM pg_temp.day_touched) f
JOIN analytics.events_minute b
  ON b.bucket_start >= f.bucket_start AND b.bucket_start < f.bucket_start + interval '1 hour'
 AND b.source = f.source AND b.event_type = f.event_type AND b.event_name = f.event_name AND b.currency = f.currency
GROUP BY 1, 2, 3, 4, 5;

-- sessions_delete_gone
DELETE FROM analytics.sessions t
WHERE t.event_date = date '2026-11-20'
  AND NOT EXISTS (SELECT FROM pg_temp.day_sessions s WHERE s.session_key = t.session_key);

-- sessions_insert_new
INSERT INTO analytics.sessions (session_key, event_date, source, user_key, customer_id, started_ts, ended_ts, events, pages, revenue, entry_path, exit_path, referrer_medium, utm_source, is_open)
SELECT s.session_key, s.event_date, s.source, s.user_key, s.customer_id, s.started_ts, s.ended_ts, s.events, s.pages, s.revenue, s.entry_path, s.exit_path, s.referrer_medium, s.utm_source, s.is_open
FROM pg_temp.day_sessions s
WHERE NOT EXISTS (SELECT FROM analytics.sessions t WHERE t.session_key = s.session_key);

-- sessions_take_out_suppressed
DELETE FROM pg_temp.day_sessions s WHERE ('customer', s.customer_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR s.user_key IN (SELECT CASE x.kind WHEN 'user' THEN 'u:' ELSE 'a:' END || x.value FROM ops.suppressed_subjects x WHERE x.kind IN ('user', 'anonymous'));

-- sessions_update_changed
UPDATE analytics.sessions t
SET event_date = s.event_date, source = s.source, user_key = s.user_key, customer_id = s.customer_id, started_ts = s.started_ts, ended_ts = s.ended_ts, events = s.events, pages = s.pages, revenue = s.revenue, entry_path = s.entry_path, exit_path = s.exit_path, referrer_medium = s.referrer_medium, utm_source = s.utm_source, is_open = s.is_open
FROM pg_temp.day_sessions s
WHERE t.event_date = date '2026-11-20' AND s.session_key = t.session_key
  AND (t.event_date, t.source, t.user_key, t.customer_id, t.started_ts, t.ended_ts, t.events, t.pages, t.revenue, t.entry_path, t.exit_path, t.referrer_medium, t.utm_source, t.is_open) IS DISTINCT FROM (s.event_date, s.source, s.user_key, s.customer_id, s.started_ts, s.ended_ts, s.events, s.pages, s.revenue, s.entry_path, s.exit_path, s.referrer_medium, s.utm_source, s.is_open);

-- store_sequence
INSERT INTO ops.day_generation AS t (event_date, sequence) VALUES (%s, %s)
ON CONFLICT (event_date) DO UPDATE SET sequence = excluded.sequence;

-- sum_due_hour
INSERT INTO pg_temp.due_events_hour
SELECT date_trunc('hour', b.bucket_start, 'UTC'), b.source, b.event_type, b.event_name, b.currency, sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue), min(b.min_event_ts), max(b.max_event_ts)
FROM pg_temp.due_events_minute b
GROUP BY 1, 2, 3, 4, 5;

-- take_out_suppressed
WITH gone AS (
DELETE FROM pg_temp.day_events s
WHERE ('user', s.user_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR ('anonymous', s.anonymous_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
   OR ('customer', s.customer_id) IN (SELECT x.kind, x.value FROM ops.suppressed_subjects x)
RETURNING s.dedup_id
)
INSERT INTO pg_temp.day_stale SELECT dedup_id FROM gone;

-- user_days_touched
SELECT DISTINCT event_date, user_key, source FROM pg_temp.day_touched;

-- users_touched
IN (SELECT user_key FROM pg_temp.day_touched);

