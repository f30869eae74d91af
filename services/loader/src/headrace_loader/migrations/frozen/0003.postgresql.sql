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
