-- Offers: where a chain starts, and how its clicks are served.
CREATE TABLE clicks.offers (
    name text PRIMARY KEY,
    tracking_url text NOT NULL,
    country text NOT NULL,
    max_wait double precision,
    mode text NOT NULL,
    merge_policy text NOT NULL,
    allow_params text[] NOT NULL,
    deny_params text[] NOT NULL,
    rename_params jsonb NOT NULL,
    identity_params text[] NOT NULL,
    fallback_url text NOT NULL,
    fallback_policy text NOT NULL,
    landing_hosts text[] NOT NULL,
    user_agent_policy text NOT NULL,
    allow_app_links boolean NOT NULL,
    weight integer NOT NULL CHECK (weight BETWEEN 1 AND 1000),
    join_window double precision NOT NULL,
    webhook_url text NOT NULL,
    disabled boolean NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN clicks.offers.max_wait IS 'Seconds a visitor waits; NULL takes the default of the gateway.';

-- Gateways keep all offers in memory, and are told of each change whoever makes it.
CREATE FUNCTION clicks.notify_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('clicks_offers', COALESCE(NEW.name, OLD.name));
    RETURN NULL;
END
$$;
CREATE TRIGGER offers_changed AFTER INSERT OR UPDATE OR DELETE ON clicks.offers
    FOR EACH ROW EXECUTE FUNCTION clicks.notify_offer();

-- The click log. A click is written whole each time something is decided; the higher version wins.
CREATE TABLE clicks.clicks (
    click_id text PRIMARY KEY,
    version integer NOT NULL,
    offer text NOT NULL,
    status text NOT NULL CHECK (status IN ('PENDING', 'TRACING', 'COMPLETED', 'FAILED', 'NOT_TRACED')),
    answer text NOT NULL,
    reason text NOT NULL,
    start_time timestamptz NOT NULL,
    visitor_wait double precision,
    end_time timestamptz,
    give_up_time timestamptz NOT NULL,
    inbound_query text NOT NULL,
    location text NOT NULL,
    final_url text NOT NULL,
    stop_reason text NOT NULL,
    failure_reason text NOT NULL,
    ip_assigned text,
    trace_time double precision,
    attempts jsonb NOT NULL,
    hops jsonb NOT NULL,
    params jsonb NOT NULL,
    joined_click_id text NOT NULL,
    otel_trace_id text NOT NULL,
    visitor_address text NOT NULL,
    user_agent text NOT NULL
);
COMMENT ON COLUMN clicks.clicks.give_up_time IS
    'When a click that is still PENDING or TRACING means that its gateway died: it is then ABANDONED.';
CREATE INDEX clicks_by_offer ON clicks.clicks (offer, click_id DESC);
CREATE INDEX clicks_by_start ON clicks.clicks (start_time);

-- Which click leads all that are the same click, and until when. Whose time has passed can be taken over.
CREATE TABLE clicks.journeys (
    identity text PRIMARY KEY,
    click_id text NOT NULL,
    expire_time timestamptz NOT NULL
);
CREATE INDEX journeys_by_expiry ON clicks.journeys (expire_time);

-- Late results on their way to the webhooks of their offers. A dead one is not tried any more: the dead-letter list.
CREATE TABLE clicks.webhooks (
    click_id text PRIMARY KEY,
    offer text NOT NULL,
    url text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_time timestamptz NOT NULL DEFAULT now(),
    dead boolean NOT NULL DEFAULT false,
    last_error text NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhooks_by_due ON clicks.webhooks (due_time) WHERE NOT dead;

-- The click with its status as it is now. ABANDONED is derived from the clock, so it needs nobody to write it.
CREATE VIEW clicks.click_log AS
SELECT
    click_id, version, offer,
    CASE WHEN status IN ('PENDING', 'TRACING') AND give_up_time < clock_timestamp() THEN 'ABANDONED' ELSE status END
        AS status,
    answer, reason, start_time, visitor_wait, end_time, give_up_time, inbound_query, location, final_url, stop_reason,
    failure_reason, ip_assigned, trace_time, attempts, hops, params, joined_click_id, otel_trace_id, visitor_address,
    user_agent
FROM clicks.clicks;

-- The seed's table, for the seed's own SQL: one row for each trace that was asked for.
CREATE VIEW public.active_trace_requests AS
SELECT
    click_id AS request_id,
    offer AS offer_name,
    CASE status
        WHEN 'PENDING' THEN 'pending'
        WHEN 'TRACING' THEN 'processing'
        WHEN 'COMPLETED' THEN 'completed'
        WHEN 'FAILED' THEN 'failed'
        WHEN 'ABANDONED' THEN 'abandoned'
    END AS status,
    ip_assigned,
    round(trace_time * 1000)::integer AS trace_time_ms,
    start_time AS started_at,
    end_time AS completed_at,
    NULLIF(COALESCE(NULLIF(failure_reason, ''), reason), '') AS error_message,
    final_url
FROM clicks.click_log
WHERE status <> 'NOT_TRACED' AND joined_click_id = '';
