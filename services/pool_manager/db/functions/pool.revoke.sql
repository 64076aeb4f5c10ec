-- Takes the live lease of a token from its holder; its IP cools down from now on.
--
-- Returns REVOKED; OVER (it had ended) ; UNKNOWN (it was never granted).
CREATE OR REPLACE FUNCTION pool.revoke(
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
