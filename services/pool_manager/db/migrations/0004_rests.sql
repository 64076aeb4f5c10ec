-- Who may have an IP that still rests: nobody, unless an offer is served under a rule of its own. And, from here on, one
-- plan for every call of a leasing function. All functions that move `available_at` stand here as they are now.
--
-- The two rules, both off by default:
--   reuse     an offer may have an IP again at once where the last lease of it was for this very offer;
--   rest key  the rest holds between leases of one key (the host of the offers) alone; an IP that was used for one host
--             is free for another. Leases without a key rest for everybody, and everybody rests for them.

ALTER TABLE pool.proxies
    -- The rules of the last lease.
    ADD COLUMN rest_key text NOT NULL DEFAULT '',
    ADD COLUMN reusable boolean NOT NULL DEFAULT false,
    -- What `available_at` was before the last lease: what others rest for is not cut short by it.
    ADD COLUMN rested_at timestamptz,
    -- The rests that were not over when the last lease began: their ends by key. Null but under the rules.
    ADD COLUMN rests jsonb;

-- From when on an IP can be leased for an offer under these rules; `available_at` for an offer under none.
CREATE FUNCTION pool.free_for(p pool.proxies, p_offer text, p_rest_key text, p_reuse boolean)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p.fence = 0 THEN p.available_at
        WHEN p_reuse AND p.offer = p_offer THEN coalesce(p.ended_at, p.expires_at)
        WHEN p_rest_key = '' THEN p.available_at
        -- Nulls do not count.
        ELSE greatest(
            coalesce(p.ended_at, p.expires_at),
            CASE WHEN p.ending IS DISTINCT FROM 'RETURNED' AND p.rest_key IN ('', p_rest_key) THEN p.available_at END,
            (p.rests ->> p_rest_key)::timestamptz,
            (p.rests ->> '')::timestamptz
        )
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
-- Under a rule of its own an offer may also have an IP whose `pool.free_for` has come; all of that holds in the same way,
-- and `pool.free_for` is never before the end of a lease.
--
-- Returns one row per request: a grant (`fence` is not null), or a refusal with `next_available_at` (null: no IP of that
-- country can ever be free). `p_claims` counts the callers that wait for each answer. The empty country means any. A
-- request marked in `p_repeat_only` gets the live lease it has, if it has one, but no new one.
--
-- An IP rests for its own cooldown, else its provider's, else `p_cooldown`, the default of the service; so in all of
-- these functions. Replicas of the version before call it without the last two arguments.
DROP FUNCTION pool.lease(text[], text[], text[], text[], interval[], integer[], boolean[], interval);
CREATE FUNCTION pool.lease(
    p_request_ids text[], p_countries text[], p_offers text[], p_holders text[], p_ttls interval[], p_claims integer[],
    p_repeat_only boolean[], p_cooldown interval, p_rest_keys text[] DEFAULT NULL, p_reuse boolean[] DEFAULT NULL
) RETURNS TABLE (
    request_id text, db_time timestamptz, proxy_id bigint, fence bigint, nonce uuid, expires_at timestamptz,
    ip_address text, ip_port integer, protocol text, provider text, country text, next_available_at timestamptz
) LANGUAGE plpgsql
-- Statistics lag behind a pool that was just filled, and no plan but the index is ever right here: so it is made once,
-- and not anew for the arrays of each call, which took two thirds of the time.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
    known text[] := '{}';
    wanted record;
    resting bigint[];
    free bigint[];
    unended boolean;
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
        SELECT r.country, r.ruled_offer, r.rest_key, r.reuse,
            coalesce(array_agg(r.ord::integer ORDER BY r.ord) FILTER (WHERE NOT r.repeat_only), '{}') AS ords,
            coalesce(array_agg(r.ord::integer) FILTER (WHERE r.repeat_only), '{}') AS closed
        FROM (
            SELECT u.country, u.repeat_only, u.ord, coalesce(u.rest_key, '') AS rest_key,
                coalesce(u.reuse, false) AS reuse, CASE WHEN u.rest_key <> '' OR u.reuse THEN u.offer END AS ruled_offer
            FROM unnest(p_request_ids, p_countries, p_offers, p_repeat_only, p_rest_keys, p_reuse)
                WITH ORDINALITY AS u (request_id, country, offer, repeat_only, rest_key, reuse, ord)
            WHERE u.request_id <> ALL (known)
        ) AS r
        -- Who takes any country comes last: it can take what the others leave.
        GROUP BY r.country, r.ruled_offer, r.rest_key, r.reuse ORDER BY r.country = '', min(r.ord)
    LOOP
        -- A volatile function cannot bound an index scan; a variable can.
        t := clock_timestamp();
        resting := '{}';
        IF wanted.ruled_offer IS NOT NULL THEN
            -- First what rests for all but this offer; what has rested is left to the others.
            resting := ARRAY(
                SELECT p.id FROM pool.proxies AS p
                WHERE p.is_healthy AND NOT p.drained AND wanted.country IN ('', p.country) AND p.available_at > t
                    AND pool.free_for(p, wanted.ruled_offer, wanted.rest_key, wanted.reuse) <= t
                ORDER BY p.available_at LIMIT cardinality(wanted.ords) FOR UPDATE SKIP LOCKED
            );
        END IF;
        IF wanted.country = '' THEN
            SELECT coalesce(array_agg(f.id), '{}'), bool_or(f.unended) INTO free, unended
            FROM (
                SELECT id, fence > 0 AND ending IS NULL AS unended
                FROM pool.proxies WHERE is_healthy AND NOT drained AND available_at <= t
                ORDER BY available_at LIMIT cardinality(wanted.ords) - cardinality(resting) FOR UPDATE SKIP LOCKED
            ) AS f;
        ELSE
            SELECT coalesce(array_agg(f.id), '{}'), bool_or(f.unended) INTO free, unended
            FROM (
                SELECT id, fence > 0 AND ending IS NULL AS unended
                FROM pool.proxies
                WHERE is_healthy AND NOT drained AND country = wanted.country AND available_at <= t
                ORDER BY available_at LIMIT cardinality(wanted.ords) - cardinality(resting) FOR UPDATE SKIP LOCKED
            ) AS f;
        END IF;
        free := resting || free;

        -- What expired without a release goes into the history before its row is used again.
        IF unended OR cardinality(resting) > 0 THEN
            INSERT INTO pool.leases (fence, nonce, proxy_id, ip_address, ip_port, country, provider,
                request_id, offer, holder, granted_at, expires_at, ended_at, ending)
            SELECT fence, nonce, id, ip_address, ip_port, country, provider,
                request_id, offer, holder, granted_at, expires_at, expires_at, 'EXPIRED'
            FROM pool.proxies WHERE id = ANY (free) AND fence > 0 AND ending IS NULL;
        END IF;

        IF cardinality(free) > 0 THEN
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
                available_at = greatest(p.available_at, t + p_ttls[c.ord] + coalesce(
                    p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
                )),
                rest_key = wanted.rest_key,
                reusable = wanted.reuse,
                rested_at = p.available_at,
                rests = CASE WHEN p.available_at > t THEN coalesce(p.rests, '{}') || CASE
                    WHEN p.ending = 'RETURNED' THEN '{}'
                    ELSE jsonb_build_object(p.rest_key, p.available_at)
                END END
            FROM unnest(free, wanted.ords[:cardinality(free)]) AS c (id, ord) WHERE p.id = c.id
            RETURNING p.request_id, t, p.id, p.fence, p.nonce, p.expires_at,
                p.ip_address, p.ip_port, p.protocol, p.provider, p.country, NULL::timestamptz;
        END IF;

        IF cardinality(free) < cardinality(wanted.ords) OR cardinality(wanted.closed) > 0 THEN
            IF wanted.ruled_offer IS NOT NULL THEN
                t := (SELECT min(pool.free_for(p, wanted.ruled_offer, wanted.rest_key, wanted.reuse))
                      FROM pool.proxies AS p
                      WHERE p.is_healthy AND NOT p.drained AND wanted.country IN ('', p.country));
            ELSIF wanted.country = '' THEN
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
CREATE OR REPLACE FUNCTION pool.heartbeat(
    p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[], p_ttls interval[], p_cooldown interval
) RETURNS TABLE (place integer, verdict text, expires_at timestamptz, db_time timestamptz) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
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
            available_at = greatest(p.rested_at, t + a.ttl + coalesce(
                p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
            ))
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
-- row take it out. Tells those who wait if an IP comes free within a second, for all or for some.
--
-- Returns one row per item, by its place: RELEASED with the end of the cooldown, also for a repeat; LOST; UNKNOWN.
CREATE OR REPLACE FUNCTION pool.release(
    p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[], p_outcomes text[], p_failure_reasons text[],
    p_trace_times interval[], p_bytes bigint[], p_cooldown interval, p_failure_limit integer, p_probe_pause interval
) RETURNS TABLE (place integer, verdict text, available_at timestamptz, db_time timestamptz) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
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
            available_at = greatest(p.rested_at, t + coalesce(
                p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
            )),
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
            -- Those who wait on other replicas look again soon enough by themselves, unless the rest is very short
            -- or does not hold for all.
            WHEN (e.available_at < t + interval '1 second' OR e.reusable OR e.rest_key <> '')
                AND pg_notify('pool_freed', '') IS NOT NULL THEN 'RELEASED'
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
END
$$;

-- Takes back leases whose answers reached nobody, one claim for each; the last claim frees the IP without a cooldown, but
-- not before what others rest for.
--
-- A lease that another caller got by repeating the request has a claim left, and lives on.
CREATE OR REPLACE FUNCTION pool.return_unseen(p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[])
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
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
        available_at = CASE WHEN p.claims <= a.claims THEN greatest(t, p.rested_at) ELSE p.available_at END
    FROM (
        SELECT u.proxy_id, u.fence, u.nonce, count(*) AS claims
        FROM unnest(p_proxy_ids, p_fences, p_nonces) AS u (proxy_id, fence, nonce)
        GROUP BY u.proxy_id, u.fence, u.nonce
    ) AS a
    WHERE p.id = a.proxy_id AND p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL;
    NOTIFY pool_freed;
END
$$;

-- Writes the last leases of locked rows into the history as ended in some way, and marks them so.
--
-- Those that are live at `t` end as `p_ending`; those that expired unnoticed as EXPIRED. `p_cooldown` is the default; null
-- leaves `available_at` where it is.
CREATE OR REPLACE FUNCTION pool.end_leases(p_proxy_ids bigint[], p_ending text, t timestamptz, p_cooldown interval)
RETURNS TABLE (proxy_id bigint, ending text) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH ended AS (
        UPDATE pool.proxies AS p SET
            ending = CASE WHEN p.expires_at > t THEN p_ending ELSE 'EXPIRED' END,
            ended_at = least(p.expires_at, t),
            available_at = CASE WHEN p.expires_at > t AND p_cooldown IS NOT NULL THEN greatest(p.rested_at, t + coalesce(
                p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
            )) ELSE p.available_at END
        WHERE p.id = ANY (p_proxy_ids) AND p.fence > 0 AND p.ending IS NULL
        RETURNING p.*
    ), history AS (
        INSERT INTO pool.leases (fence, nonce, proxy_id, ip_address, ip_port, country, provider,
            request_id, offer, holder, granted_at, expires_at, ended_at, ending)
        SELECT fence, nonce, id, ip_address, ip_port, country, provider,
            request_id, offer, holder, granted_at, expires_at, ended_at, ending
        FROM ended
    )
    SELECT id, ending FROM ended;
END
$$;

-- Removes proxies and ends their leases; changes nothing if one is live and `p_revoke` is not set, or in a dry run.
--
-- Returns how many there are and how many of them are under live leases.
CREATE OR REPLACE FUNCTION pool.delete_proxies(p_proxy_ids bigint[], p_revoke boolean, p_dry_run boolean)
RETURNS TABLE (deleted integer, live integer) LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    SELECT count(*), count(*) FILTER (WHERE fence > 0 AND ending IS NULL AND expires_at > t) INTO deleted, live
    FROM pool.proxies WHERE id = ANY (p_proxy_ids);
    IF NOT p_dry_run AND (p_revoke OR live = 0) THEN
        -- A holder that has not heard of it may go on until its lease would have ended: see pool.departed.
        PERFORM pool.end_leases(p_proxy_ids, 'REVOKED', t, NULL);
        DELETE FROM pool.proxies WHERE id = ANY (p_proxy_ids);
    END IF;
    RETURN NEXT;
END
$$;

-- Proxies that were removed while in use or at rest: added again, they rest on.
CREATE TABLE pool.departed (
    ip_address text NOT NULL,
    ip_port integer NOT NULL,
    available_at timestamptz NOT NULL,
    PRIMARY KEY (ip_address, ip_port)
);

CREATE FUNCTION pool.remember_rest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM pool.departed WHERE available_at <= clock_timestamp();
    INSERT INTO pool.departed (ip_address, ip_port, available_at)
    SELECT ip_address, ip_port, available_at FROM removed WHERE available_at > clock_timestamp()
    ON CONFLICT (ip_address, ip_port) DO UPDATE SET available_at = excluded.available_at;
    RETURN NULL;
END
$$;
CREATE TRIGGER remember_rest AFTER DELETE ON pool.proxies REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION pool.remember_rest();

-- Runs after the insert, which has waited for a removal of the same address that was under way.
CREATE FUNCTION pool.rest_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pool.proxies AS p SET available_at = greatest(p.available_at, d.available_at)
    FROM added AS a JOIN pool.departed AS d ON d.ip_address = a.ip_address AND d.ip_port = a.ip_port
    WHERE p.id = a.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER rest_on AFTER INSERT ON pool.proxies REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION pool.rest_on();
