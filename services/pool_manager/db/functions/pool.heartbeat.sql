-- Moves the end of live leases to now + ttl.
--
-- Locks first and reads the clock after: under a wait for a row lock both now() and clock_timestamp() inside one UPDATE
-- are computed before the wait, so a lease that died meanwhile would come back to life (measured on PostgreSQL 15).
-- Rows are locked in the order of their ids, as everywhere, so that groups cannot lock each other out.
--
-- Returns one row per item, by its place: LIVE with the new end; LOST (it expired, ended, or the IP has a later lease);
-- UNKNOWN (it was never granted). That is read from its row after the change, and not searched for among all that were
-- changed, so the time grows with the group and not with its square.
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
    UPDATE pool.proxies AS p SET
        expires_at = t + a.ttl,
        available_at = greatest(p.rested_at, t + a.ttl + coalesce(
            p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
        ))
    FROM (
        -- Of several heartbeats of one lease in one group the last one counts.
        SELECT DISTINCT ON (u.proxy_id, u.fence, u.nonce) u.*
        FROM unnest(p_proxy_ids, p_fences, p_nonces, p_ttls)
            WITH ORDINALITY AS u (proxy_id, fence, nonce, ttl, place)
        ORDER BY u.proxy_id, u.fence, u.nonce, u.place DESC
    ) AS a
    WHERE p.id = a.proxy_id AND p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL AND p.expires_at > t;
    RETURN QUERY
    SELECT a.place::integer,
        CASE
            -- What was live at `t` is so still, and with its new end.
            WHEN p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL AND p.expires_at > t THEN 'LIVE'
            -- The lease of a proxy that was deleted meanwhile.
            WHEN p.id IS NULL AND EXISTS (
                SELECT FROM pool.leases AS h WHERE h.fence = a.fence AND h.nonce = a.nonce
            ) THEN 'LOST'
            WHEN p.id IS NULL OR a.fence > p.fence OR (a.fence = p.fence AND a.nonce <> p.nonce) THEN 'UNKNOWN'
            ELSE 'LOST'
        END,
        p.expires_at, t
    FROM unnest(p_proxy_ids, p_fences, p_nonces) WITH ORDINALITY AS a (proxy_id, fence, nonce, place)
    LEFT JOIN pool.proxies AS p ON p.id = a.proxy_id;
END
$$;
