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

-- Writes the last leases of locked rows into the history as ended in some way, and marks them so.
--
-- Those that are live at `t` end as `p_ending`; those that expired unnoticed as EXPIRED. `p_cooldown` is the default.
CREATE FUNCTION pool.end_leases(p_proxy_ids bigint[], p_ending text, t timestamptz, p_cooldown interval)
RETURNS TABLE (proxy_id bigint, ending text) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH ended AS (
        UPDATE pool.proxies AS p SET
            ending = CASE WHEN p.expires_at > t THEN p_ending ELSE 'EXPIRED' END,
            ended_at = least(p.expires_at, t),
            available_at = CASE WHEN p.expires_at > t THEN t + coalesce(
                p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
            ) ELSE p.available_at END
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

-- Writes leases that expired without a release into the history, and returns how many there were.
--
-- Nothing is ever stuck, so nothing is freed here: an expired lease ends by the clock alone.
CREATE FUNCTION pool.close_expired() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    expired bigint[];
    t timestamptz := clock_timestamp();
BEGIN
    expired := ARRAY(
        SELECT id FROM pool.proxies WHERE fence > 0 AND ending IS NULL AND expires_at <= t
        ORDER BY id FOR UPDATE SKIP LOCKED
    );
    -- As of `t`: none of these rows is live then, so none is ended but by its own expiry.
    RETURN (SELECT count(*) FROM pool.end_leases(expired, 'EXPIRED', t, interval '0'));
END
$$;

-- Takes the live lease of a token from its holder; its IP cools down from now on.
--
-- Returns REVOKED; OVER (it had ended) ; UNKNOWN (it was never granted).
CREATE FUNCTION pool.revoke(
    p_proxy_id bigint, p_fence bigint, p_nonce uuid, p_cooldown interval, p_dry_run boolean
) RETURNS TABLE (verdict text, available_at timestamptz) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p pool.proxies;
    t timestamptz;
BEGIN
    SELECT * INTO p FROM pool.proxies WHERE id = p_proxy_id FOR UPDATE;
    t := clock_timestamp();
    IF p.fence = p_fence AND p.nonce = p_nonce AND p.ending IS NULL AND p.expires_at > t THEN
        IF NOT p_dry_run THEN
            PERFORM pool.end_leases(ARRAY[p_proxy_id], 'REVOKED', t, p_cooldown);
        END IF;
        RETURN QUERY SELECT 'REVOKED', CASE WHEN p_dry_run THEN t + coalesce(
            p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
        ) ELSE (SELECT q.available_at FROM pool.proxies AS q WHERE q.id = p_proxy_id) END;
    ELSIF (p.fence = p_fence AND p.nonce = p_nonce)
        OR EXISTS (SELECT FROM pool.leases WHERE fence = p_fence AND nonce = p_nonce) THEN
        RETURN QUERY SELECT 'OVER', p.available_at;
    ELSE
        RETURN QUERY SELECT 'UNKNOWN', NULL::timestamptz;
    END IF;
END
$$;

-- Drains, enables, or resets the health of proxies; returns how many there are and how many were not so already.
CREATE FUNCTION pool.update_proxies(p_proxy_ids bigint[], p_action text, p_dry_run boolean)
RETURNS TABLE (matched integer, changed integer) LANGUAGE plpgsql AS $$
DECLARE
    differing bigint[];
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    GET DIAGNOSTICS matched = ROW_COUNT;
    differing := ARRAY(
        SELECT id FROM pool.proxies WHERE id = ANY (p_proxy_ids) AND CASE p_action
            WHEN 'DRAIN' THEN NOT drained
            WHEN 'ENABLE' THEN drained
            WHEN 'RESET_HEALTH' THEN NOT is_healthy OR consecutive_failures > 0
        END
    );
    changed := cardinality(differing);
    IF NOT p_dry_run AND p_action = 'RESET_HEALTH' THEN
        UPDATE pool.proxies SET is_healthy = true, consecutive_failures = 0, probe_at = NULL, probe_pause = NULL
        WHERE id = ANY (differing);
    ELSIF NOT p_dry_run THEN
        UPDATE pool.proxies SET drained = (p_action = 'DRAIN') WHERE id = ANY (differing);
    END IF;
    RETURN NEXT;
END
$$;

-- Removes proxies and ends their leases; changes nothing if one is live and `p_revoke` is not set, or in a dry run.
--
-- Returns how many there are and how many of them are under live leases.
CREATE FUNCTION pool.delete_proxies(p_proxy_ids bigint[], p_revoke boolean, p_dry_run boolean)
RETURNS TABLE (deleted integer, live integer) LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    SELECT count(*), count(*) FILTER (WHERE fence > 0 AND ending IS NULL AND expires_at > t) INTO deleted, live
    FROM pool.proxies WHERE id = ANY (p_proxy_ids);
    IF NOT p_dry_run AND (p_revoke OR live = 0) THEN
        PERFORM pool.end_leases(p_proxy_ids, 'REVOKED', t, interval '0');
        DELETE FROM pool.proxies WHERE id = ANY (p_proxy_ids);
    END IF;
    RETURN NEXT;
END
$$;

-- Does what is due every minute: closes expired leases, writes statistics, and forgets what is old.
--
-- One replica at a time: `skipped` tells that another is at it, or (unless `p_forced`) was less than 45 s ago. A
-- crashed one blocks nobody, for its lock ends with its transaction.
CREATE FUNCTION pool.maintain(p_retention interval, p_forced boolean, p_dry_run boolean)
RETURNS TABLE (statistics_rows integer, expired_leases integer, deleted_rows integer, skipped boolean)
LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz;
    since timestamptz;
    since_fence bigint;
    newest bigint;
    gone integer;
BEGIN
    statistics_rows := 0;
    expired_leases := 0;
    deleted_rows := 0;
    skipped := NOT pg_try_advisory_xact_lock(hashtextextended('pool.maintain', 1))
        OR NOT p_forced AND EXISTS (
            SELECT FROM pool.statistics WHERE end_at > clock_timestamp() - interval '45 seconds'
        );
    IF skipped THEN
        RETURN NEXT;
        RETURN;
    END IF;
    IF p_dry_run THEN
        t := clock_timestamp();
        statistics_rows := (SELECT count(DISTINCT country) FROM pool.proxies);
        expired_leases := (
            SELECT count(*) FROM pool.proxies WHERE fence > 0 AND ending IS NULL AND expires_at <= t
        );
        deleted_rows := (SELECT count(*) FROM pool.leases WHERE ended_at < t - p_retention)
            + (SELECT count(*) FROM pool.statistics WHERE end_at < t - p_retention)
            + (SELECT count(*) FROM pool.audit WHERE at < t - p_retention);
        RETURN NEXT;
        RETURN;
    END IF;

    expired_leases := pool.close_expired();
    SELECT end_at, last_fence INTO since, since_fence FROM pool.statistics ORDER BY end_at DESC LIMIT 1;
    newest := (SELECT last_value FROM pool.fences);
    t := clock_timestamp();
    since := coalesce(since, t - interval '1 minute');

    WITH tallied AS (
        DELETE FROM pool.tallies RETURNING country, refusals, waits
    ), counted AS (
        SELECT country, sum(refusals) AS refusals, sum(waits) AS waits FROM tallied GROUP BY country
    ), granted AS (
        SELECT country, count(*) AS grants
        FROM (
            SELECT country, granted_at FROM pool.leases WHERE fence > coalesce(since_fence, 0) AND fence <= newest
            UNION ALL
            SELECT country, granted_at FROM pool.proxies
            WHERE fence > coalesce(since_fence, 0) AND fence <= newest AND ending IS NULL
        ) AS leases
        WHERE since_fence IS NOT NULL OR granted_at > since
        GROUP BY country
    ), used AS (
        SELECT l.country,
            avg(coalesce(l.trace_time, l.ended_at - l.granted_at)) AS mean_trace_time,
            count(*) FILTER (WHERE l.outcome = 'PROXY_FAILURE') AS proxy_failures,
            sum(v.price) AS cost
        FROM pool.leases AS l LEFT JOIN pool.providers AS v ON v.name = l.provider
        WHERE l.ended_at > since AND l.ended_at <= t
        GROUP BY l.country
    ), now AS (
        SELECT country, count(*) AS total,
            count(*) FILTER (WHERE state = 'available') AS available,
            count(*) FILTER (WHERE state = 'in_use') AS in_use,
            count(*) FILTER (WHERE state = 'cooldown') AS cooldown,
            count(*) FILTER (WHERE state = 'unhealthy') AS unhealthy,
            count(*) FILTER (WHERE state = 'drained') AS drained
        FROM (
            SELECT country, pool.state_of(drained, is_healthy, ending, expires_at, available_at, t) AS state
            FROM pool.proxies
        ) AS states
        GROUP BY country
    )
    INSERT INTO pool.statistics (country, start_at, end_at, last_fence, total, available, in_use, cooldown, unhealthy,
        drained, utilization, grants, refusals, waits, mean_trace_time, proxy_failures, estimated_cost)
    SELECT country, since, t, newest, coalesce(total, 0), coalesce(available, 0), coalesce(in_use, 0),
        coalesce(cooldown, 0), coalesce(unhealthy, 0), coalesce(drained, 0),
        coalesce((in_use + cooldown)::double precision / nullif(in_use + cooldown + available, 0), 0),
        coalesce(grants, 0), coalesce(refusals, 0), coalesce(waits, 0), mean_trace_time,
        coalesce(proxy_failures, 0), coalesce(cost, 0)
    -- Also for a country that is asked for and has no IP at all, and (the empty one) for requests for any country.
    FROM now FULL JOIN counted USING (country) LEFT JOIN granted USING (country) LEFT JOIN used USING (country);
    GET DIAGNOSTICS statistics_rows = ROW_COUNT;

    -- In bites, so that no run is long; the next one goes on.
    DELETE FROM pool.leases WHERE fence IN (
        SELECT fence FROM pool.leases WHERE ended_at < t - p_retention ORDER BY ended_at LIMIT 50000
    );
    GET DIAGNOSTICS deleted_rows = ROW_COUNT;
    DELETE FROM pool.statistics WHERE end_at < t - p_retention;
    GET DIAGNOSTICS gone = ROW_COUNT;
    deleted_rows := deleted_rows + gone;
    DELETE FROM pool.audit WHERE at < t - p_retention;
    GET DIAGNOSTICS gone = ROW_COUNT;
    deleted_rows := deleted_rows + gone;
    RETURN NEXT;
END
$$;

-- Chooses quarantined proxies that are due and rested, for this caller alone until `p_guard` has passed.
CREATE FUNCTION pool.claim_probes(p_count integer, p_guard interval)
RETURNS SETOF pool.proxies LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    UPDATE pool.proxies AS p SET probe_at = t + p_guard
    FROM (
        SELECT id FROM pool.proxies
        WHERE NOT is_healthy AND NOT drained AND available_at <= t AND (probe_at IS NULL OR probe_at <= t)
        ORDER BY probe_at NULLS FIRST LIMIT p_count FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE p.id = due.id
    RETURNING p.*;
END
$$;

-- Takes the outcome of a probe that was claimed: a success (an exit address) brings the proxy back, a failure doubles
-- its pause, up to an hour. Changes nothing if somebody reset it meanwhile; tells whether it is healthy now.
CREATE FUNCTION pool.probed(
    p_proxy_id bigint, p_claim timestamptz, p_exit_address text, p_exit_country text, p_first_pause interval
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_exit_address IS NOT NULL THEN
        UPDATE pool.proxies SET is_healthy = true, consecutive_failures = 0, probe_at = NULL, probe_pause = NULL,
            exit_address = p_exit_address, exit_country = p_exit_country
        WHERE id = p_proxy_id AND NOT is_healthy AND probe_at = p_claim;
    ELSE
        UPDATE pool.proxies SET
            probe_pause = least(coalesce(probe_pause * 2, p_first_pause), interval '1 hour'),
            probe_at = clock_timestamp() + least(coalesce(probe_pause * 2, p_first_pause), interval '1 hour')
        WHERE id = p_proxy_id AND NOT is_healthy AND probe_at = p_claim;
    END IF;
    RETURN p_exit_address IS NOT NULL AND FOUND;
END
$$;
