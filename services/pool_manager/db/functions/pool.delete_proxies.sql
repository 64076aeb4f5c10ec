-- Removes proxies and ends their leases; changes nothing if one is live and `p_revoke` is not set, or in a dry run.
--
-- Returns how many there are and how many of them are under live leases.
CREATE OR REPLACE FUNCTION pool.delete_proxies(p_proxy_ids bigint[], p_revoke boolean, p_dry_run boolean)
RETURNS TABLE (deleted integer, live integer) LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    SELECT count(*), count(*) FILTER (WHERE fence > 0 AND ending IS NULL AND expires_at > t) INTO deleted, live
    FROM pool.proxies WHERE id = ANY (p_proxy_ids);
    IF NOT p_dry_run AND (p_revoke OR live = 0) THEN
        -- A holder that has not heard of it may go on until its lease would have ended: see pool.departed.
        PERFORM pool.end_leases(p_proxy_ids, 'REVOKED', t, NULL);
        DELETE FROM pool.proxies WHERE id = ANY (p_proxy_ids);
    END IF;
    RETURN NEXT;
END
$$;
