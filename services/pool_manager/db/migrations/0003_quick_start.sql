-- The tables of the quick start, as views: its SQL works as it stands there.

-- `status` is derived and cannot be written; everything else can.
CREATE VIEW public.ip_rotation_pool AS
SELECT
    id, ip_address, ip_port, protocol, country, provider,
    pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock_timestamp()) AS status,
    is_healthy, consecutive_failures, drained, cooldown, available_at, created_at,
    fence, request_id, offer, holder, granted_at AS last_used_at, expires_at AS lock_expires_at
FROM pool.proxies;

-- One row per country and minute.
CREATE VIEW public.ip_pool_statistics AS
SELECT
    id, end_at AS recorded_at, country, start_at, end_at, total AS total_ips, available AS available_ips,
    in_use AS in_use_ips, cooldown AS cooldown_ips, unhealthy AS unhealthy_ips, drained AS drained_ips, utilization,
    grants, refusals, waits, extract(epoch FROM mean_trace_time) * 1000 AS mean_trace_time_ms, proxy_failures,
    estimated_cost
FROM pool.statistics;

-- Writes leases that expired without a release into the history; their IPs came free by the clock alone.
CREATE FUNCTION public.release_expired_ip_locks() RETURNS integer LANGUAGE sql AS $$
    SELECT pool.close_expired()
$$;
