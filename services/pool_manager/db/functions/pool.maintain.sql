-- Does what is due every minute: closes expired leases, writes statistics, and forgets what is old.
--
-- One replica at a time: `skipped` tells that another is at it, or (unless `p_forced`) was less than 45 s ago. A
-- crashed one blocks nobody, for its lock ends with its transaction.
CREATE OR REPLACE FUNCTION pool.maintain(p_retention interval, p_forced boolean, p_dry_run boolean)
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
