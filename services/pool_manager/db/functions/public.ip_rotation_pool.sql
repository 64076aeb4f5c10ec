-- The seed's table, for the seed's own SQL. `status` is derived and cannot be written; everything else can.
CREATE OR REPLACE VIEW public.ip_rotation_pool AS
SELECT
    id, ip_address, ip_port, protocol, country, provider,
    pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock_timestamp()) AS status,
    is_healthy, consecutive_failures, drained, cooldown, available_at, created_at,
    fence, request_id, offer, holder, granted_at AS last_used_at, expires_at AS lock_expires_at
FROM pool.proxies;
