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
