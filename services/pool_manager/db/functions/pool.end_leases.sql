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
