-- The pool: proxies, the lease each of them is under, and the leases that were.
--
-- State is derived, never stored: `available_at` alone says from when on an IP can be leased, and every grant, heartbeat
-- and release moves it. So an expired lease needs no sweeper, and a crashed holder strands nothing.

-- Numbers leases. One sequence for all IPs, so that fences keep growing even when a proxy is deleted and added again.
CREATE SEQUENCE pool.fences AS bigint;

-- What is known about a provider beyond its credentials, which are never in the database.
CREATE TABLE pool.providers (
    name text PRIMARY KEY,
    cooldown interval CHECK (cooldown >= interval '0'),
    -- What one lease costs, in whatever currency the operator counts.
    price numeric NOT NULL DEFAULT 0 CHECK (price >= 0)
);

CREATE TABLE pool.proxies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ip_address text NOT NULL CHECK (length(ip_address) BETWEEN 1 AND 253),
    ip_port integer NOT NULL CHECK (ip_port BETWEEN 1 AND 65535),
    protocol text NOT NULL DEFAULT 'HTTP' CHECK (protocol IN ('HTTP', 'HTTPS', 'SOCKS5')),
    country text NOT NULL CONSTRAINT country_is_two_lower_case_letters CHECK (country ~ '^[a-z]{2}$'),
    provider text NOT NULL DEFAULT 'default' CHECK (length(provider) BETWEEN 1 AND 64),
    cooldown interval CHECK (cooldown >= interval '0'),
    created_at timestamptz NOT NULL DEFAULT now(),

    drained boolean NOT NULL DEFAULT false,
    is_healthy boolean NOT NULL DEFAULT true,
    consecutive_failures integer NOT NULL DEFAULT 0 CHECK (consecutive_failures >= 0),
    -- While it is unhealthy: when it is tried again (null: at once), and how long the pause before was.
    probe_at timestamptz,
    probe_pause interval,
    -- What the last successful probe saw.
    exit_address text,
    exit_country text,

    -- From when on this IP can be leased: while a lease lives, the end of the cooldown that would follow its expiry.
    available_at timestamptz NOT NULL DEFAULT now(),

    -- The last lease, live or not. It is live while `ending` is null and `expires_at` is ahead; it stands in pool.leases
    -- once `ending` is set.
    fence bigint NOT NULL DEFAULT 0,
    nonce uuid,
    request_id text,
    offer text,
    holder text,
    granted_at timestamptz,
    expires_at timestamptz,
    ended_at timestamptz,
    ending text CHECK (ending IN ('RELEASED', 'REVOKED', 'EXPIRED', 'RETURNED')),
    -- How many callers were given this lease, by repeating their request, and did not hand it back unseen.
    claims integer,

    UNIQUE (ip_address, ip_port)
) WITH (
    -- Every lease rewrites its row at least twice; room in the page and an eager vacuum keep that cheap.
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05
);

-- The two orders in which free IPs are looked for: of one country, and of any. Longest rested first.
CREATE INDEX proxies_free_in_country ON pool.proxies (country, available_at) WHERE is_healthy AND NOT drained;
CREATE INDEX proxies_free ON pool.proxies (available_at) WHERE is_healthy AND NOT drained;
-- The shortest rest there is.
CREATE INDEX proxies_own_cooldown ON pool.proxies (cooldown) WHERE cooldown IS NOT NULL;
-- Finds what is to be probed.
CREATE INDEX proxies_unhealthy ON pool.proxies (probe_at) WHERE NOT is_healthy;
-- Finds the live lease of a repeated request, and what expired without a release.
CREATE INDEX proxies_not_ended ON pool.proxies (request_id) WHERE fence > 0 AND ending IS NULL;

-- Leases that ended: who held which IP when.
CREATE TABLE pool.leases (
    fence bigint PRIMARY KEY,
    nonce uuid NOT NULL,
    proxy_id bigint NOT NULL,
    ip_address text NOT NULL,
    ip_port integer NOT NULL,
    country text NOT NULL,
    provider text NOT NULL,
    request_id text NOT NULL,
    offer text NOT NULL,
    holder text NOT NULL,
    granted_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    ending text NOT NULL CHECK (ending IN ('RELEASED', 'REVOKED', 'EXPIRED')),
    outcome text CHECK (outcome IN ('SUCCESS', 'PROXY_FAILURE', 'TARGET_FAILURE', 'CANCELLED')),
    failure_reason text NOT NULL DEFAULT '',
    trace_time interval,
    bytes bigint
);
CREATE INDEX leases_of_address ON pool.leases (ip_address, granted_at);
CREATE INDEX leases_by_end ON pool.leases (ended_at);
