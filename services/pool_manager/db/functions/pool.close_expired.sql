-- Writes leases that expired without a release into the history, and returns how many there were.
--
-- Nothing is ever stuck, so nothing is freed here: an expired lease ends by the clock alone.
CREATE OR REPLACE FUNCTION pool.close_expired() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    expired bigint[];
    t timestamptz := clock_timestamp();
BEGIN
    expired := ARRAY(
        SELECT id FROM pool.proxies WHERE fence > 0 AND ending IS NULL AND expires_at <= t
        ORDER BY id FOR UPDATE SKIP LOCKED
    );
    -- As of `t`: none of these rows is live then, so none is ended but by its own expiry.
    RETURN (SELECT count(*) FROM pool.end_leases(expired, 'EXPIRED', t, interval '0'));
END
$$;
