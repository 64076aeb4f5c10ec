-- What the seed's scripts/monitor-pool.sql was for, as one file: psql "$(cat .local/database-url)" -f docs/monitor.sql
-- It only reads, from the seed's tables (views over the services' own), and takes some milliseconds.

\echo The pool by country: what can be leased now, and how busy the usable IPs are
SELECT
    country,
    count(*) AS total,
    count(*) FILTER (WHERE status = 'available') AS available,
    count(*) FILTER (WHERE status = 'in_use') AS in_use,
    count(*) FILTER (WHERE status = 'cooldown') AS cooldown,
    count(*) FILTER (WHERE status = 'unhealthy') AS unhealthy,
    round(
        100.0 * count(*) FILTER (WHERE status IN ('in_use', 'cooldown'))
        / NULLIF(count(*) FILTER (WHERE status IN ('available', 'in_use', 'cooldown')), 0)
    ) AS busy_percent
FROM ip_rotation_pool
GROUP BY country
ORDER BY country;

\echo Who holds an IP now
SELECT ip_address, ip_port, country, offer, holder, request_id, last_used_at, lock_expires_at
FROM ip_rotation_pool
WHERE status = 'in_use'
ORDER BY last_used_at
LIMIT 20;

\echo When the next IPs come free
SELECT ip_address, ip_port, country, status, available_at
FROM ip_rotation_pool
WHERE status IN ('in_use', 'cooldown')
ORDER BY available_at
LIMIT 10;

\echo IPs that fail
SELECT ip_address, ip_port, country, provider, is_healthy, consecutive_failures
FROM ip_rotation_pool
WHERE NOT is_healthy OR consecutive_failures > 0
ORDER BY consecutive_failures DESC
LIMIT 20;

\echo The last traces
SELECT request_id, offer_name, status, ip_assigned, trace_time_ms, started_at, completed_at, error_message
FROM active_trace_requests
ORDER BY started_at DESC
LIMIT 10;

\echo Traces a minute, the last quarter of an hour
SELECT
    date_trunc('minute', started_at) AS minute,
    count(*) AS traces,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    round(avg(trace_time_ms)) AS mean_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY trace_time_ms) AS p95_ms
FROM active_trace_requests
WHERE started_at > now() - interval '15 minutes'
GROUP BY minute
ORDER BY minute DESC;

\echo Why traces failed or visitors got the fallback, the last hour
SELECT offer_name, error_message, count(*) AS clicks, max(started_at) AS last_time
FROM active_trace_requests
WHERE error_message IS NOT NULL AND started_at > now() - interval '1 hour'
GROUP BY offer_name, error_message
ORDER BY clicks DESC
LIMIT 20;

\echo Clicks whose gateway died
SELECT request_id, offer_name, started_at
FROM active_trace_requests
WHERE status = 'abandoned'
ORDER BY started_at DESC
LIMIT 10;

\echo What the minutes before looked like
SELECT recorded_at, country, total_ips, in_use_ips, cooldown_ips, unhealthy_ips, utilization, grants, refusals, mean_trace_time_ms
FROM ip_pool_statistics
ORDER BY recorded_at DESC, country
LIMIT 20;
