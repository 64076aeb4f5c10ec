-- Every statement that the pool manager sends. What must be decided under a lock is decided in the files of
-- functions/; here they are only called.

-- name: lease
-- Grants IPs to distinct requests, or says when the next one is free.
SELECT request_id, db_time, proxy_id, fence, nonce, expires_at,
    ip_address, ip_port, protocol, provider, country, next_available_at
FROM pool.lease(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::interval[], $6::text::integer[], $7::text::boolean[],
    $8::interval, $9::text[], $10::text::boolean[], $11::text::integer[], $12::text::uuid[]
);

-- name: heartbeat
-- Moves the end of live leases.
SELECT place, verdict, expires_at, db_time
FROM pool.heartbeat($1::text::bigint[], $2::text::bigint[], $3::text::uuid[], $4::interval[], $5::interval);

-- name: release
-- Ends live leases.
SELECT place, verdict, available_at, db_time
FROM pool.release(
    $1::text::bigint[], $2::text::bigint[], $3::text::uuid[], $4::text[], $5::text[], $6::interval[], $7::text::bigint[],
    $8::interval, $9::integer, $10::interval
);

-- name: return_unseen
-- Takes back leases whose answers reached nobody.
SELECT pool.return_unseen($1::text::bigint[], $2::text::bigint[], $3::text::uuid[]);

-- name: forecast
-- When the next IPs of a country come free, soonest first, and the shortest cooldown after a release.
SELECT clock_timestamp() AS db_time,
    ARRAY(
        SELECT available_at FROM pool.proxies WHERE is_healthy AND NOT drained AND country = $1
        ORDER BY available_at LIMIT $2::integer
    ) AS available_at,
    least(
        $3::interval,
        (SELECT min(cooldown) FROM pool.providers),
        (SELECT min(cooldown) FROM pool.proxies WHERE cooldown IS NOT NULL)
    ) AS least_cooldown;

-- name: forecast_of_any
-- The same for all countries together.
SELECT clock_timestamp() AS db_time,
    ARRAY(
        SELECT available_at FROM pool.proxies WHERE is_healthy AND NOT drained
        ORDER BY available_at LIMIT $1::integer
    ) AS available_at,
    least(
        $2::interval,
        (SELECT min(cooldown) FROM pool.providers),
        (SELECT min(cooldown) FROM pool.proxies WHERE cooldown IS NOT NULL)
    ) AS least_cooldown;

-- name: forecast_under_policy
-- The same for one offer under a cooldown policy of its own. Its IPs may be free for it the moment they are released.
SELECT clock_timestamp() AS db_time,
    ARRAY(
        SELECT pool.free_for(p, $2::text, $3::text, $4::boolean) AS free_at FROM pool.proxies AS p
        WHERE is_healthy AND NOT drained AND $1::text IN ('', country)
        ORDER BY free_at LIMIT $5::integer
    ) AS available_at,
    interval '0' AS least_cooldown;

-- name: usage
-- The usable IPs of a country: free ones (no offer), and busy ones by the offer that had them last.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS t)
SELECT CASE WHEN available_at > clock.t THEN coalesce(offer, '') END AS busy_with, count(*) AS ips
FROM pool.proxies, clock
WHERE is_healthy AND NOT drained AND ($1::text = '' OR country = $1)
GROUP BY 1;

-- name: provision
-- Adds proxies, or updates those that exist.
SELECT created, updated, unchanged
FROM pool.provision(
    $1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::interval[], $7::boolean
);

-- name: pool_status
-- Counts the pool by country and state; one row without a country where there is no proxy at all.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS t)
SELECT clock.t AS db_time, counted.*
FROM clock
LEFT JOIN LATERAL (
    SELECT country,
        count(*) AS total,
        count(*) FILTER (WHERE state = 'available') AS available,
        count(*) FILTER (WHERE state = 'in_use') AS in_use,
        count(*) FILTER (WHERE state = 'cooldown') AS cooldown,
        count(*) FILTER (WHERE state = 'unhealthy') AS unhealthy,
        count(*) FILTER (WHERE state = 'drained') AS drained,
        min(available_at) FILTER (WHERE is_healthy AND NOT drained) AS next_available_at
    FROM (
        SELECT country, is_healthy, drained, available_at,
            pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock.t) AS state
        FROM pool.proxies WHERE $1::text = '' OR country = $1
    ) AS proxies
    GROUP BY country
) AS counted ON true
ORDER BY country;

-- name: census
-- Counts the pool by country, provider and state, and who was quarantined since $1: an IP is quarantined as its last lease
-- ends. A second is left to transactions that are not visible yet. One row without a country for an empty pool.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS t, clock_timestamp() - interval '1 second' AS counted_until)
SELECT clock.t AS db_time, clock.counted_until, counted.*
FROM clock
LEFT JOIN LATERAL (
    SELECT country, provider,
        pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock.t) AS state,
        count(*) AS proxies,
        count(*) FILTER (WHERE NOT is_healthy AND ended_at > $1::timestamptz AND ended_at <= clock.counted_until)
            AS quarantined
    FROM pool.proxies
    GROUP BY 1, 2, 3
) AS counted ON true;

-- name: select_proxies
-- The ids of the proxies that a filter chooses.
SELECT id FROM pool.proxies
WHERE ($1::text = '' OR country = $1) AND ($2::text = '' OR provider = $2) AND ($4::text = '' OR ip_address = $4)
    AND ($3::text = ''
        OR pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock_timestamp()) = $3)
ORDER BY id;

-- name: list_proxies
-- A page of proxies in order of their ids, from behind $5 on.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS t)
SELECT clock.t AS db_time, listed.*
FROM clock
LEFT JOIN LATERAL (
    SELECT id, ip_address, ip_port, protocol, country, provider, state, available_at, consecutive_failures, fence,
        cooldown, is_healthy, drained, exit_address, exit_country
    FROM (
        SELECT *, pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock.t) AS state
        FROM pool.proxies
    ) AS proxies
    WHERE id > $5::bigint
        AND ($1::text = '' OR country = $1) AND ($2::text = '' OR provider = $2) AND ($3::text = '' OR state = $3)
        AND ($4::text = '' OR ip_address = $4)
    ORDER BY id LIMIT $6::integer
) AS listed ON true
ORDER BY id;

-- name: update_proxies
-- Drains, enables, or resets the health of proxies.
SELECT matched, changed FROM pool.update_proxies($1::bigint[], $2::text, $3::boolean);

-- name: delete_proxies
-- Removes proxies.
-- `removed` and `revoked` are what came of it: nothing under a live lease that may not be revoked.
SELECT deleted, live,
    CASE WHEN $2 OR live = 0 THEN deleted ELSE 0 END AS removed, CASE WHEN $2 THEN live ELSE 0 END AS revoked
FROM pool.delete_proxies($1::bigint[], $2::boolean, $3::boolean);

-- name: revoke
-- Takes a live lease from its holder.
SELECT verdict, available_at, (verdict = 'REVOKED')::integer AS revoked
FROM pool.revoke($1::bigint, $2::bigint, $3::uuid, $4::interval, $5::boolean);

-- name: list_leases
-- A page of leases, newest first, from before fence $8 on; live ones and, if $1, past ones.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS t)
SELECT clock.t AS db_time, listed.*
FROM clock
LEFT JOIN LATERAL (
    SELECT * FROM (
        (
            SELECT fence, nonce, id AS proxy_id, ip_address, ip_port, country, provider, request_id, offer, holder,
                granted_at, expires_at, NULL::timestamptz AS ended_at,
                CASE WHEN expires_at > clock.t THEN 'LIVE' ELSE 'EXPIRED' END AS ending,
                NULL AS outcome, '' AS failure_reason
            FROM pool.proxies
            WHERE fence > 0 AND ending IS NULL AND ($1::boolean OR expires_at > clock.t) AND fence < $8::bigint
                AND ($2::text = '' OR ip_address = $2) AND ($3::text = '' OR offer = $3)
                AND ($4::text = '' OR holder = $4) AND ($5::text = '' OR country = $5)
                AND ($6::timestamptz IS NULL OR expires_at >= $6) AND ($7::timestamptz IS NULL OR granted_at < $7)
            ORDER BY fence DESC LIMIT $9::integer
        ) UNION ALL (
            SELECT fence, nonce, proxy_id, ip_address, ip_port, country, provider, request_id, offer, holder,
                granted_at, expires_at, ended_at, ending, outcome, failure_reason
            FROM pool.leases
            WHERE $1 AND fence < $8
                AND ($2 = '' OR ip_address = $2) AND ($3 = '' OR offer = $3)
                AND ($4 = '' OR holder = $4) AND ($5 = '' OR country = $5)
                AND ($6 IS NULL OR ended_at >= $6) AND ($7 IS NULL OR granted_at < $7)
            ORDER BY fence DESC LIMIT $9
        )
    ) AS leases
    ORDER BY fence DESC LIMIT $9
) AS listed ON true
ORDER BY fence DESC;

-- name: audit
-- Records who changed what.
INSERT INTO pool.audit (actor, action, details) VALUES ($1::text, $2::text, $3::text::jsonb);

-- name: maintain
-- Closes expired leases, writes statistics, and forgets what is old.
SELECT statistics_rows, expired_leases, deleted_rows, skipped
FROM pool.maintain($1::interval, $2::boolean, $3::boolean);

-- name: add_tallies
-- Hands over what this replica counted.
INSERT INTO pool.tallies (country, refusals, waits)
SELECT country, refusals, waits FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS c (country, refusals, waits);

-- name: set_providers
-- Writes what the settings say of providers; what they do not say stays.
INSERT INTO pool.providers (name, cooldown, price)
SELECT name, cooldown, coalesce(price, 0)
FROM unnest($1::text[], $2::interval[], $3::numeric[]) AS s (name, cooldown, price)
ON CONFLICT (name) DO UPDATE SET
    cooldown = coalesce(excluded.cooldown, providers.cooldown),
    price = CASE WHEN excluded.price > 0 THEN excluded.price ELSE providers.price END;

-- name: list_statistics
-- A page of statistics rows, newest first, from before id $3 on.
SELECT id, country, start_at, end_at, total, available, utilization, grants, refusals, waits, mean_trace_time,
    proxy_failures, estimated_cost
FROM pool.statistics
WHERE ($1::text = '' OR country = $1) AND ($2::timestamptz IS NULL OR end_at > $2) AND id < $3::bigint
ORDER BY id DESC LIMIT $4::integer;

-- name: load
-- The load of the last hour: the busiest period's demand a second, the mean use of an IP, and how long IPs rest.
WITH periods AS (
    SELECT sum(grants + refusals) / extract(epoch FROM max(end_at) - min(start_at)) AS rate
    FROM pool.statistics
    WHERE end_at > clock_timestamp() - interval '1 hour' AND ($1::text = '' OR country = $1) AND end_at > start_at
    GROUP BY end_at
), uses AS (
    SELECT sum(extract(epoch FROM mean_trace_time) * grants) / nullif(sum(grants), 0) AS trace_time
    FROM pool.statistics
    WHERE end_at > clock_timestamp() - interval '1 hour' AND ($1 = '' OR country = $1)
        AND mean_trace_time IS NOT NULL AND grants > 0
), rests AS (
    SELECT avg(extract(epoch FROM coalesce(p.cooldown, v.cooldown, $2::interval))) AS cooldown
    FROM pool.proxies AS p LEFT JOIN pool.providers AS v ON v.name = p.provider
    WHERE ($1 = '' OR p.country = $1)
)
SELECT (SELECT max(rate) FROM periods)::double precision AS clicks_per_second,
    (SELECT trace_time FROM uses)::double precision AS trace_time,
    coalesce((SELECT cooldown FROM rests), extract(epoch FROM $2))::double precision AS cooldown;

-- name: claim_probes
-- Chooses quarantined proxies that are due.
SELECT id, probe_at, ip_address, ip_port, protocol, provider, country
FROM pool.claim_probes($1::integer, $2::interval);

-- name: probed
-- Takes the outcome of a probe.
SELECT pool.probed($1::bigint, $2::timestamptz, $3::text, $4::text, $5::interval) AS healthy;
