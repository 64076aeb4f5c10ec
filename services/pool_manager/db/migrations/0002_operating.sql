-- What operators do with the pool, and what is counted.

-- Who changed what.
CREATE TABLE pool.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL,
    details jsonb NOT NULL
);
CREATE INDEX audit_by_time ON pool.audit (at);

-- Statistics: one row per country and period; the empty country stands for requests that take any.
CREATE TABLE pool.statistics (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    country text NOT NULL,
    start_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL,
    -- The last fence at the end of the period; the leases of the next one have higher ones.
    last_fence bigint NOT NULL,
    total integer NOT NULL,
    available integer NOT NULL,
    in_use integer NOT NULL,
    cooldown integer NOT NULL,
    unhealthy integer NOT NULL,
    drained integer NOT NULL,
    utilization double precision NOT NULL,
    grants bigint NOT NULL,
    refusals bigint NOT NULL,
    waits bigint NOT NULL,
    mean_trace_time interval,
    proxy_failures bigint NOT NULL,
    estimated_cost numeric NOT NULL
);
CREATE INDEX statistics_by_country ON pool.statistics (country, end_at);
CREATE INDEX statistics_by_time ON pool.statistics (end_at);

-- What the replicas counted and maintenance has not yet taken into the statistics.
CREATE TABLE pool.tallies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    country text NOT NULL,
    refusals bigint NOT NULL,
    waits bigint NOT NULL
);
