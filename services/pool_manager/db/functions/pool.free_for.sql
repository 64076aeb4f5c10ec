-- From when on an IP can be leased for an offer under the rules of migrations/0004_rests.sql; `available_at` for an offer under none.
CREATE OR REPLACE FUNCTION pool.free_for(p pool.proxies, p_offer text, p_rest_key text, p_reuse boolean)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p.fence = 0 THEN p.available_at
        WHEN p_reuse AND p.offer = p_offer THEN coalesce(p.ended_at, p.expires_at)
        WHEN p_rest_key = '' THEN p.available_at
        -- Nulls do not count.
        ELSE greatest(
            coalesce(p.ended_at, p.expires_at),
            CASE WHEN p.ending IS DISTINCT FROM 'RETURNED' AND p.rest_key IN ('', p_rest_key) THEN p.available_at END,
            (p.rests ->> p_rest_key)::timestamptz,
            (p.rests ->> '')::timestamptz
        )
    END
$$;
