-- The seed's table, for the seed's own SQL: one row per country and minute.
CREATE OR REPLACE VIEW public.ip_pool_statistics AS
SELECT
    id, end_at AS recorded_at, country, start_at, end_at, total AS total_ips, available AS available_ips,
    in_use AS in_use_ips, cooldown AS cooldown_ips, unhealthy AS unhealthy_ips, drained AS drained_ips, utilization,
    grants, refusals, waits, extract(epoch FROM mean_trace_time) * 1000 AS mean_trace_time_ms, proxy_failures,
    estimated_cost
FROM pool.statistics;
