-- Drains, enables, or resets the health of proxies; returns how many there are and how many were not so already.
CREATE OR REPLACE FUNCTION pool.update_proxies(p_proxy_ids bigint[], p_action text, p_dry_run boolean)
RETURNS TABLE (matched integer, changed integer) LANGUAGE plpgsql AS $$
DECLARE
    differing bigint[];
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    GET DIAGNOSTICS matched = ROW_COUNT;
    differing := ARRAY(
        SELECT id FROM pool.proxies WHERE id = ANY (p_proxy_ids) AND CASE p_action
            WHEN 'DRAIN' THEN NOT drained
            WHEN 'ENABLE' THEN drained
            WHEN 'RESET_HEALTH' THEN NOT is_healthy OR consecutive_failures > 0
        END
    );
    changed := cardinality(differing);
    IF NOT p_dry_run AND p_action = 'RESET_HEALTH' THEN
        UPDATE pool.proxies SET is_healthy = true, consecutive_failures = 0, probe_at = NULL, probe_pause = NULL
        WHERE id = ANY (differing);
    ELSIF NOT p_dry_run THEN
        UPDATE pool.proxies SET drained = (p_action = 'DRAIN') WHERE id = ANY (differing);
    END IF;
    RETURN NEXT;
END
$$;
