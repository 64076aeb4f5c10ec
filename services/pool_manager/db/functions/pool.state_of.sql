-- Names the state of a proxy at the moment `t`.
CREATE OR REPLACE FUNCTION pool.state_of(
    drained boolean, is_healthy boolean, ending text, expires_at timestamptz, available_at timestamptz, t timestamptz
) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN drained THEN 'drained'
        WHEN ending IS NULL AND expires_at > t THEN 'in_use'
        WHEN NOT is_healthy THEN 'unhealthy'
        WHEN available_at > t THEN 'cooldown'
        ELSE 'available'
    END
$$;
