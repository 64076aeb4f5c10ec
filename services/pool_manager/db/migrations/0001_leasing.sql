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

-- Names the state of a proxy at the moment `t`.
CREATE FUNCTION pool.state_of(
    drained boolean, is_healthy boolean, ending text, expires_at timestamptz, available_at timestamptz, t timestamptz
) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN drained THEN 'drained'
        WHEN ending IS NULL AND expires_at > t THEN 'in_use'
        WHEN NOT is_healthy THEN 'unhealthy'
        WHEN available_at > t THEN 'cooldown'
        ELSE 'available'
    END
$$;

-- Grants IPs to distinct requests, or says when the next one is free. Never waits for a row that it is to grant.
--
-- Why two holders can never share an IP:
--   * a row is granted only while this transaction holds its lock, so the grants of one IP come one after the other;
--   * a row that another transaction has locked is skipped, and one that changed since the snapshot is checked again in
--     its newest version (READ COMMITTED), so `available_at <= t` is true of what is locked, not of what was once seen;
--   * `t` was read before the lock, so the IP was free already, and nobody else can have taken it since;
--   * the grant moves `available_at` behind the end of the lease and of its cooldown before the lock is given up.
--
-- Returns one row per request: a grant (`fence` is not null), or a refusal with `next_available_at` (null: no IP of that
-- country can ever be free). `p_claims` counts the callers that wait for each answer. The empty country means any. A
-- request marked in `p_repeat_only` gets the live lease it has, if it has one, but no new one.
--
-- An IP rests for its own cooldown, else its provider's, else `p_cooldown`, the default of the service; so in all of
-- these functions.
CREATE FUNCTION pool.lease(
    p_request_ids text[], p_countries text[], p_offers text[], p_holders text[], p_ttls interval[], p_claims integer[],
    p_repeat_only boolean[], p_cooldown interval
) RETURNS TABLE (
    request_id text, db_time timestamptz, proxy_id bigint, fence bigint, nonce uuid, expires_at timestamptz,
    ip_address text, ip_port integer, protocol text, provider text, country text, next_available_at timestamptz
) LANGUAGE plpgsql
-- Statistics lag behind a pool that was just filled; no plan but the index is ever right here.
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
    known text[] := '{}';
    wanted record;
    free bigint[];
BEGIN
    -- The same request on two replicas at once must not get two IPs. Sorted, so that groups cannot lock each other out.
    PERFORM pg_advisory_xact_lock(keys.key)
    FROM (SELECT DISTINCT hashtextextended(r, 0) AS key FROM unnest(p_request_ids) AS r ORDER BY key) AS keys;

    -- Requests that hold a live lease get that one. Lock first, then look at the clock.
    IF EXISTS (
        SELECT FROM pool.proxies
        WHERE request_id = ANY (p_request_ids) AND fence > 0 AND ending IS NULL AND expires_at > clock_timestamp()
    ) THEN
        PERFORM FROM pool.proxies
        WHERE request_id = ANY (p_request_ids) AND fence > 0 AND ending IS NULL
        ORDER BY id FOR UPDATE;
        t := clock_timestamp();
        known := ARRAY(
            SELECT request_id FROM pool.proxies
            WHERE request_id = ANY (p_request_ids) AND fence > 0 AND ending IS NULL AND expires_at > t
        );
        RETURN QUERY
        UPDATE pool.proxies AS p SET claims = p.claims + r.claims
        FROM unnest(p_request_ids, p_claims) AS r (request_id, claims)
        WHERE p.request_id = r.request_id AND p.fence > 0 AND p.ending IS NULL AND p.expires_at > t
        RETURNING p.request_id, t, p.id, p.fence, p.nonce, p.expires_at,
            p.ip_address, p.ip_port, p.protocol, p.provider, p.country, NULL::timestamptz;
    END IF;

    FOR wanted IN
        SELECT r.country,
            coalesce(array_agg(r.ord::integer ORDER BY r.ord) FILTER (WHERE NOT r.repeat_only), '{}') AS ords,
            coalesce(array_agg(r.ord::integer) FILTER (WHERE r.repeat_only), '{}') AS closed
        FROM unnest(p_request_ids, p_countries, p_repeat_only)
            WITH ORDINALITY AS r (request_id, country, repeat_only, ord)
        WHERE r.request_id <> ALL (known)
        -- Who takes any country comes last: it can take what the others leave.
        GROUP BY r.country ORDER BY r.country = '', min(r.ord)
    LOOP
        -- A volatile function cannot bound an index scan; a variable can.
        t := clock_timestamp();
        IF wanted.country = '' THEN
            free := ARRAY(
                SELECT id FROM pool.proxies WHERE is_healthy AND NOT drained AND available_at <= t
                ORDER BY available_at LIMIT cardinality(wanted.ords) FOR UPDATE SKIP LOCKED
            );
        ELSE
            free := ARRAY(
                SELECT id FROM pool.proxies
                WHERE is_healthy AND NOT drained AND country = wanted.country AND available_at <= t
                ORDER BY available_at LIMIT cardinality(wanted.ords) FOR UPDATE SKIP LOCKED
            );
        END IF;

        IF cardinality(free) > 0 THEN
            -- What expired without a release goes into the history before its row is used again.
            INSERT INTO pool.leases (fence, nonce, proxy_id, ip_address, ip_port, country, provider,
                request_id, offer, holder, granted_at, expires_at, ended_at, ending)
            SELECT fence, nonce, id, ip_address, ip_port, country, provider,
                request_id, offer, holder, granted_at, expires_at, expires_at, 'EXPIRED'
            FROM pool.proxies WHERE id = ANY (free) AND fence > 0 AND ending IS NULL;

            t := clock_timestamp();
            RETURN QUERY
            UPDATE pool.proxies AS p SET
                fence = nextval('pool.fences'),
                nonce = gen_random_uuid(),
                request_id = p_request_ids[c.ord],
                offer = p_offers[c.ord],
                holder = p_holders[c.ord],
                claims = p_claims[c.ord],
                granted_at = t,
                expires_at = t + p_ttls[c.ord],
                ended_at = NULL,
                ending = NULL,
                available_at = t + p_ttls[c.ord] + coalesce(
                    p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
                )
            FROM unnest(free, wanted.ords[:cardinality(free)]) AS c (id, ord) WHERE p.id = c.id
            RETURNING p.request_id, t, p.id, p.fence, p.nonce, p.expires_at,
                p.ip_address, p.ip_port, p.protocol, p.provider, p.country, NULL::timestamptz;
        END IF;

        IF cardinality(free) < cardinality(wanted.ords) OR cardinality(wanted.closed) > 0 THEN
            IF wanted.country = '' THEN
                t := (SELECT min(available_at) FROM pool.proxies WHERE is_healthy AND NOT drained);
            ELSE
                t := (SELECT min(available_at) FROM pool.proxies
                      WHERE is_healthy AND NOT drained AND country = wanted.country);
            END IF;
            RETURN QUERY
            SELECT p_request_ids[ord], clock_timestamp(), NULL::bigint, NULL::bigint, NULL::uuid, NULL::timestamptz,
                NULL::text, NULL::integer, NULL::text, NULL::text, NULL::text, t
            FROM unnest(wanted.ords[cardinality(free) + 1:] || wanted.closed) AS ord;
        END IF;
    END LOOP;
END
$$;

-- Moves the end of live leases to now + ttl.
--
-- Locks first and reads the clock after: under a wait for a row lock both now() and clock_timestamp() inside one UPDATE
-- are computed before the wait, so a lease that died meanwhile would come back to life (measured on PostgreSQL 15).
-- Rows are locked in the order of their ids, as everywhere, so that groups cannot lock each other out.
--
-- Returns one row per item, by its place: LIVE with the new end; LOST (it expired, ended, or the IP has a later lease);
-- UNKNOWN (it was never granted).
CREATE FUNCTION pool.heartbeat(
    p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[], p_ttls interval[], p_cooldown interval
) RETURNS TABLE (place integer, verdict text, expires_at timestamptz, db_time timestamptz) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    RETURN QUERY
    WITH asked AS (
        SELECT * FROM unnest(p_proxy_ids, p_fences, p_nonces, p_ttls)
            WITH ORDINALITY AS a (proxy_id, fence, nonce, ttl, place)
    ), kept AS (
        UPDATE pool.proxies AS p SET
            expires_at = t + a.ttl,
            available_at = t + a.ttl + coalesce(
                p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
            )
        -- Of several heartbeats of one lease in one group the last one counts.
        FROM (SELECT DISTINCT ON (proxy_id, fence, nonce) * FROM asked ORDER BY proxy_id, fence, nonce, place DESC) AS a
        WHERE p.id = a.proxy_id AND p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL AND p.expires_at > t
        RETURNING p.fence, p.nonce, p.expires_at
    )
    SELECT a.place::integer,
        CASE
            WHEN k.fence IS NOT NULL THEN 'LIVE'
            -- The lease of a proxy that was deleted meanwhile.
            WHEN p.id IS NULL AND EXISTS (
                SELECT FROM pool.leases AS h WHERE h.fence = a.fence AND h.nonce = a.nonce
            ) THEN 'LOST'
            WHEN p.id IS NULL OR a.fence > p.fence OR (a.fence = p.fence AND a.nonce <> p.nonce) THEN 'UNKNOWN'
            ELSE 'LOST'
        END,
        k.expires_at, t
    FROM asked AS a
    LEFT JOIN pool.proxies AS p ON p.id = a.proxy_id
    LEFT JOIN kept AS k ON k.fence = a.fence AND k.nonce = a.nonce;
END
$$;

-- Ends live leases, starts their cooldowns, counts failures, and writes the history.
--
-- Locks first and reads the clock after, as pool.heartbeat does: otherwise the cooldown would be short by the wait.
-- PROXY_FAILURE counts against an IP, CANCELLED says nothing about it, everything else clears it; `p_failure_limit` in a
-- row take it out. Tells those who wait if an IP comes free within a second.
--
-- Returns one row per item, by its place: RELEASED with the end of the cooldown, also for a repeat; LOST; UNKNOWN.
CREATE FUNCTION pool.release(
    p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[], p_outcomes text[], p_failure_reasons text[],
    p_trace_times interval[], p_bytes bigint[], p_cooldown interval, p_failure_limit integer, p_probe_pause interval
) RETURNS TABLE (place integer, verdict text, available_at timestamptz, db_time timestamptz) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    RETURN QUERY
    WITH asked AS (
        SELECT * FROM unnest(p_proxy_ids, p_fences, p_nonces, p_outcomes, p_failure_reasons, p_trace_times, p_bytes)
            WITH ORDINALITY AS a (proxy_id, fence, nonce, outcome, failure_reason, trace_time, bytes, place)
    ), ended AS (
        UPDATE pool.proxies AS p SET
            ending = 'RELEASED',
            ended_at = t,
            available_at = t + coalesce(
                p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
            ),
            consecutive_failures = CASE a.outcome
                WHEN 'PROXY_FAILURE' THEN p.consecutive_failures + 1
                WHEN 'CANCELLED' THEN p.consecutive_failures
                ELSE 0
            END
        -- Of several releases of one lease in one group the first one counts.
        FROM (SELECT DISTINCT ON (proxy_id, fence, nonce) * FROM asked ORDER BY proxy_id, fence, nonce, place) AS a
        WHERE p.id = a.proxy_id AND p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL AND p.expires_at > t
        RETURNING p.*, a.outcome, a.failure_reason, a.trace_time, a.bytes
    ), history AS (
        INSERT INTO pool.leases (fence, nonce, proxy_id, ip_address, ip_port, country, provider,
            request_id, offer, holder, granted_at, expires_at, ended_at, ending,
            outcome, failure_reason, trace_time, bytes)
        SELECT fence, nonce, id, ip_address, ip_port, country, provider,
            request_id, offer, holder, granted_at, expires_at, t, 'RELEASED',
            outcome, failure_reason, trace_time, bytes
        FROM ended
    )
    SELECT a.place::integer,
        CASE
            WHEN e.fence IS NOT NULL THEN 'RELEASED'
            -- The lease of a proxy that was deleted meanwhile.
            WHEN p.id IS NULL AND EXISTS (
                SELECT FROM pool.leases AS h WHERE h.fence = a.fence AND h.nonce = a.nonce
            ) THEN 'LOST'
            WHEN p.id IS NULL OR a.fence > p.fence OR (a.fence = p.fence AND a.nonce <> p.nonce) THEN 'UNKNOWN'
            WHEN a.fence = p.fence AND p.ending = 'RELEASED' THEN 'RELEASED'
            ELSE 'LOST'
        END,
        coalesce(e.available_at, p.available_at), t
    FROM asked AS a
    LEFT JOIN pool.proxies AS p ON p.id = a.proxy_id
    LEFT JOIN ended AS e ON e.fence = a.fence AND e.nonce = a.nonce;

    IF 'PROXY_FAILURE' = ANY (p_outcomes) THEN
        UPDATE pool.proxies SET is_healthy = false, probe_at = t + p_probe_pause, probe_pause = p_probe_pause
        WHERE id = ANY (p_proxy_ids) AND is_healthy AND consecutive_failures >= p_failure_limit AND ended_at = t;
    END IF;
    -- Those who wait elsewhere look again soon enough by themselves, unless the rest is very short.
    IF EXISTS (
        SELECT FROM pool.proxies
        WHERE id = ANY (p_proxy_ids) AND ended_at = t AND available_at < t + interval '1 second'
    ) THEN
        NOTIFY pool_freed;
    END IF;
END
$$;

-- Takes back leases whose answers reached nobody, one claim for each; the last claim frees the IP without a cooldown.
--
-- A lease that another caller got by repeating the request has a claim left, and lives on.
CREATE FUNCTION pool.return_unseen(p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[])
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    t timestamptz;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    UPDATE pool.proxies AS p SET
        claims = p.claims - a.claims,
        ending = CASE WHEN p.claims <= a.claims THEN 'RETURNED' END,
        ended_at = CASE WHEN p.claims <= a.claims THEN t END,
        available_at = CASE WHEN p.claims <= a.claims THEN t ELSE p.available_at END
    FROM (
        SELECT u.proxy_id, u.fence, u.nonce, count(*) AS claims
        FROM unnest(p_proxy_ids, p_fences, p_nonces) AS u (proxy_id, fence, nonce)
        GROUP BY u.proxy_id, u.fence, u.nonce
    ) AS a
    WHERE p.id = a.proxy_id AND p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL;
    NOTIFY pool_freed;
END
$$;

-- Tells those who wait, on every replica, that an IP may have come free; also when someone writes SQL by hand.
CREATE FUNCTION pool.tell_freed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY pool_freed;
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_freed AFTER INSERT OR UPDATE OF is_healthy, drained, country, cooldown ON pool.proxies
FOR EACH STATEMENT EXECUTE FUNCTION pool.tell_freed();

-- Adds proxies, or updates those under the same address and port; `p_dry_run` only counts.
CREATE FUNCTION pool.provision(
    p_ip_addresses text[], p_ip_ports integer[], p_protocols text[], p_countries text[], p_providers text[],
    p_cooldowns interval[], p_dry_run boolean
) RETURNS TABLE (created bigint, updated bigint, unchanged bigint) LANGUAGE plpgsql AS $$
DECLARE
    total bigint := cardinality(p_ip_addresses);
BEGIN
    -- One provisioning at a time, so that what was counted is what happens.
    PERFORM pg_advisory_xact_lock(hashtextextended('pool.provision', 1));
    IF p_dry_run THEN
        RETURN QUERY
        SELECT count(*) FILTER (WHERE p.id IS NULL),
            count(*) FILTER (WHERE p.id IS NOT NULL AND differs),
            count(*) FILTER (WHERE p.id IS NOT NULL AND NOT differs)
        FROM unnest(p_ip_addresses, p_ip_ports, p_protocols, p_countries, p_providers, p_cooldowns)
            AS s (ip_address, ip_port, protocol, country, provider, cooldown)
        LEFT JOIN pool.proxies AS p ON p.ip_address = s.ip_address AND p.ip_port = s.ip_port
        CROSS JOIN LATERAL (
            SELECT (p.protocol, p.country, p.provider, p.cooldown)
                IS DISTINCT FROM (s.protocol, s.country, s.provider, s.cooldown) AS differs
        ) AS d;
        RETURN;
    END IF;
    PERFORM FROM pool.proxies AS p
    WHERE (p.ip_address, p.ip_port) IN (SELECT u.a, u.b FROM unnest(p_ip_addresses, p_ip_ports) AS u (a, b))
    ORDER BY p.id FOR UPDATE;
    RETURN QUERY
    WITH applied AS (
        INSERT INTO pool.proxies AS p (ip_address, ip_port, protocol, country, provider, cooldown)
        SELECT s.* FROM unnest(p_ip_addresses, p_ip_ports, p_protocols, p_countries, p_providers, p_cooldowns) AS s
        ON CONFLICT (ip_address, ip_port) DO UPDATE SET
            protocol = excluded.protocol, country = excluded.country,
            provider = excluded.provider, cooldown = excluded.cooldown
        WHERE (p.protocol, p.country, p.provider, p.cooldown)
            IS DISTINCT FROM (excluded.protocol, excluded.country, excluded.provider, excluded.cooldown)
        -- A row that this statement inserted has no deleting transaction.
        RETURNING p.xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new), total - count(*) FROM applied;
END
$$;
