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
