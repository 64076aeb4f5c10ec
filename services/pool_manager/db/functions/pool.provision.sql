-- Adds proxies, or updates those under the same address and port; `p_dry_run` only counts.
CREATE OR REPLACE FUNCTION pool.provision(
    p_ip_addresses text[], p_ip_ports integer[], p_protocols text[], p_countries text[], p_providers text[],
    p_cooldowns interval[], p_dry_run boolean
) RETURNS TABLE (created bigint, updated bigint, unchanged bigint) LANGUAGE plpgsql AS $$
DECLARE
    total bigint := cardinality(p_ip_addresses);
BEGIN
    -- One provisioning at a time, so that what was counted is what happens.
    PERFORM pg_advisory_xact_lock(hashtextextended('pool.provision', 1));
    IF p_dry_run THEN
        RETURN QUERY
        SELECT count(*) FILTER (WHERE p.id IS NULL),
            count(*) FILTER (WHERE p.id IS NOT NULL AND differs),
            count(*) FILTER (WHERE p.id IS NOT NULL AND NOT differs)
        FROM unnest(p_ip_addresses, p_ip_ports, p_protocols, p_countries, p_providers, p_cooldowns)
            AS s (ip_address, ip_port, protocol, country, provider, cooldown)
        LEFT JOIN pool.proxies AS p ON p.ip_address = s.ip_address AND p.ip_port = s.ip_port
        CROSS JOIN LATERAL (
            SELECT (p.protocol, p.country, p.provider, p.cooldown)
                IS DISTINCT FROM (s.protocol, s.country, s.provider, s.cooldown) AS differs
        ) AS d;
        RETURN;
    END IF;
    PERFORM FROM pool.proxies AS p
    WHERE (p.ip_address, p.ip_port) IN (SELECT u.a, u.b FROM unnest(p_ip_addresses, p_ip_ports) AS u (a, b))
    ORDER BY p.id FOR UPDATE;
    RETURN QUERY
    WITH applied AS (
        INSERT INTO pool.proxies AS p (ip_address, ip_port, protocol, country, provider, cooldown)
        SELECT s.* FROM unnest(p_ip_addresses, p_ip_ports, p_protocols, p_countries, p_providers, p_cooldowns) AS s
        ON CONFLICT (ip_address, ip_port) DO UPDATE SET
            protocol = excluded.protocol, country = excluded.country,
            provider = excluded.provider, cooldown = excluded.cooldown
        WHERE (p.protocol, p.country, p.provider, p.cooldown)
            IS DISTINCT FROM (excluded.protocol, excluded.country, excluded.provider, excluded.cooldown)
        -- A row that this statement inserted has no deleting transaction.
        RETURNING p.xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new), total - count(*) FROM applied;
END
$$;
