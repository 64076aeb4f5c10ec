-- Takes the outcome of a probe that was claimed: a success (an exit address) brings the proxy back, a failure doubles
-- its pause, up to an hour. Changes nothing if somebody reset it meanwhile; tells whether it is healthy now.
CREATE OR REPLACE FUNCTION pool.probed(
    p_proxy_id bigint, p_claim timestamptz, p_exit_address text, p_exit_country text, p_first_pause interval
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_exit_address IS NOT NULL THEN
        UPDATE pool.proxies SET is_healthy = true, consecutive_failures = 0, probe_at = NULL, probe_pause = NULL,
            exit_address = p_exit_address, exit_country = p_exit_country
        WHERE id = p_proxy_id AND NOT is_healthy AND probe_at = p_claim;
    ELSE
        UPDATE pool.proxies SET
            probe_pause = least(coalesce(probe_pause * 2, p_first_pause), interval '1 hour'),
            probe_at = clock_timestamp() + least(coalesce(probe_pause * 2, p_first_pause), interval '1 hour')
        WHERE id = p_proxy_id AND NOT is_healthy AND probe_at = p_claim;
    END IF;
    RETURN p_exit_address IS NOT NULL AND FOUND;
END
$$;
