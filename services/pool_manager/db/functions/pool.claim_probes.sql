-- Chooses quarantined proxies that are due and rested, for this caller alone until `p_guard` has passed.
CREATE OR REPLACE FUNCTION pool.claim_probes(p_count integer, p_guard interval)
RETURNS SETOF pool.proxies LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    UPDATE pool.proxies AS p SET probe_at = t + p_guard
    FROM (
        SELECT id FROM pool.proxies
        WHERE NOT is_healthy AND NOT drained AND available_at <= t AND (probe_at IS NULL OR probe_at <= t)
        ORDER BY probe_at NULLS FIRST LIMIT p_count FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE p.id = due.id
    RETURNING p.*;
END
$$;
