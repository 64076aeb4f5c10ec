-- Grants IPs to distinct requests, or says when the next one is free. Never waits for a row that it is to grant.
--
-- Why two holders can never share an IP:
--   * a row is granted only while this transaction holds its lock, so the grants of one IP come one after the other;
--   * a row that another transaction has locked is skipped, and one that changed since the snapshot is checked again in
--     its newest version (READ COMMITTED), so `available_at <= t` is true of what is locked, not of what was once seen;
--   * `t` was read before the lock, so the IP was free already, and nobody else can have taken it since;
--   * the grant moves `available_at` behind the end of the lease and of its cooldown before the lock is given up.
-- Under a rule of its own an offer may also have an IP whose `pool.free_for` has come; all of that holds in the same way,
-- and `pool.free_for` is never before the end of a lease.
--
-- Requests that may have the same IPs stand together, and `p_ends` names the last place of each such run: they are equal
-- in country, rest key, reuse, `p_repeat_only`, and, under a rule, in their offer. The empty country means any; such runs
-- come last, because they can take what the others leave. Without `p_ends` each request is a run of its own.
--
-- Returns one row per request: a grant (`fence` is not null), or a refusal with `next_available_at` (null: no IP of that
-- country can ever be free). `p_claims` counts the callers that wait for each answer. A request marked in `p_repeat_only`
-- gets the live lease it has, if it has one, but no new one.
--
-- There are few queries inside: for a group of one or two PostgreSQL mostly begins and ends queries, 20 to 50 µs each however
-- small they are (measured on 18).
--
-- `p_nonces` are random, and brought along because a PostgreSQL that is built without OpenSSL opens /dev/urandom for each
-- it makes itself, which was a ninth of the time of a large group.
--
-- An IP rests for its own cooldown, else its provider's, else `p_cooldown`, the default of the service. Replicas of
-- earlier versions call it without the last two arguments, or without the last four.
CREATE OR REPLACE FUNCTION pool.lease(
    p_request_ids text[], p_countries text[], p_offers text[], p_holders text[], p_ttls interval[], p_claims integer[],
    p_repeat_only boolean[], p_cooldown interval, p_rest_keys text[] DEFAULT NULL, p_reuse boolean[] DEFAULT NULL,
    p_ends integer[] DEFAULT NULL, p_nonces uuid[] DEFAULT NULL
) RETURNS TABLE (
    request_id text, db_time timestamptz, proxy_id bigint, fence bigint, nonce uuid, expires_at timestamptz,
    ip_address text, ip_port integer, protocol text, provider text, country text, next_available_at timestamptz
) LANGUAGE plpgsql
-- Statistics lag behind a pool that was just filled, and no plan but the index is ever right here: so it is made once,
-- and not anew for the arrays of each call, which took two thirds of the time.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
    locked text;
    known text[];
    first integer := 1;
    last integer;
    wanted integer;
    wanted_country text;
    wanted_key text;
    wanted_reuse boolean;
    ruled_offer text;
    resting bigint[];
    free bigint[];
    unended boolean;
BEGIN
    -- The same request on two replicas at once must not get two IPs. Sorted, so that groups cannot lock each other out.
    -- One alone is locked by an expression, which is no query.
    IF cardinality(p_request_ids) = 1 THEN
        locked := pg_advisory_xact_lock(hashtextextended(p_request_ids[1], 0))::text;
    ELSE
        PERFORM pg_advisory_xact_lock(keys.key)
        FROM (SELECT DISTINCT hashtextextended(r, 0) AS key FROM unnest(p_request_ids) AS r ORDER BY key) AS keys;
    END IF;

    IF p_ends IS NULL THEN
        p_ends := ARRAY(SELECT generate_subscripts(p_request_ids, 1));
    END IF;

    -- Requests that hold a live lease get that one. Lock first, then look at the clock.
    IF EXISTS (
        SELECT FROM pool.proxies
        WHERE request_id = ANY (p_request_ids) AND fence > 0 AND ending IS NULL AND expires_at > clock_timestamp()
    ) THEN
        PERFORM FROM pool.proxies
        WHERE request_id = ANY (p_request_ids) AND fence > 0 AND ending IS NULL
        ORDER BY id FOR UPDATE;
        t := clock_timestamp();
        known := ARRAY(
            SELECT request_id FROM pool.proxies
            WHERE request_id = ANY (p_request_ids) AND fence > 0 AND ending IS NULL AND expires_at > t
        );
        RETURN QUERY
        UPDATE pool.proxies AS p SET claims = p.claims + r.claims
        FROM unnest(p_request_ids, p_claims) AS r (request_id, claims)
        WHERE p.request_id = r.request_id AND p.fence > 0 AND p.ending IS NULL AND p.expires_at > t
        RETURNING p.request_id, t, p.id, p.fence, p.nonce, p.expires_at,
            p.ip_address, p.ip_port, p.protocol, p.provider, p.country, NULL::timestamptz;

        -- The others move up, and so do the ends of their runs.
        p_ends := ARRAY(
            SELECT count(r.request_id)
            FROM unnest(p_ends) AS e (place)
            LEFT JOIN unnest(p_request_ids) WITH ORDINALITY AS r (request_id, place)
                ON r.place <= e.place AND r.request_id <> ALL (known)
            GROUP BY e.place ORDER BY e.place
        );
        SELECT array_agg(u.request_id ORDER BY u.place), array_agg(u.country ORDER BY u.place),
            array_agg(u.offer ORDER BY u.place), array_agg(u.holder ORDER BY u.place),
            array_agg(u.ttl ORDER BY u.place), array_agg(u.claims ORDER BY u.place),
            array_agg(u.repeat_only ORDER BY u.place), array_agg(u.rest_key ORDER BY u.place),
            array_agg(u.reuse ORDER BY u.place), array_agg(u.nonce ORDER BY u.place)
        INTO p_request_ids, p_countries, p_offers, p_holders, p_ttls, p_claims, p_repeat_only, p_rest_keys, p_reuse,
            p_nonces
        FROM unnest(
            p_request_ids, p_countries, p_offers, p_holders, p_ttls, p_claims, p_repeat_only, p_rest_keys, p_reuse,
            p_nonces
        ) WITH ORDINALITY AS u (
            request_id, country, offer, holder, ttl, claims, repeat_only, rest_key, reuse, nonce, place
        )
        WHERE u.request_id <> ALL (known);
    END IF;

    FOREACH last IN ARRAY p_ends LOOP
        wanted := CASE WHEN p_repeat_only[first] THEN 0 ELSE last - first + 1 END;
        wanted_country := p_countries[first];
        wanted_key := coalesce(p_rest_keys[first], '');
        wanted_reuse := coalesce(p_reuse[first], false);
        ruled_offer := CASE WHEN wanted_key <> '' OR wanted_reuse THEN p_offers[first] END;
        resting := '{}';
        free := '{}';
        IF wanted > 0 THEN
            -- A volatile function cannot bound an index scan; a variable can.
            t := clock_timestamp();
            IF ruled_offer IS NOT NULL THEN
                -- First what rests for all but this offer; what has rested is left to the others.
                resting := ARRAY(
                    SELECT p.id FROM pool.proxies AS p
                    WHERE p.is_healthy AND NOT p.drained AND wanted_country IN ('', p.country) AND p.available_at > t
                        AND pool.free_for(p, ruled_offer, wanted_key, wanted_reuse) <= t
                    ORDER BY p.available_at LIMIT wanted FOR UPDATE SKIP LOCKED
                );
            END IF;
            IF wanted_country = '' THEN
                SELECT coalesce(array_agg(f.id), '{}'), bool_or(f.unended) INTO free, unended
                FROM (
                    SELECT id, fence > 0 AND ending IS NULL AS unended
                    FROM pool.proxies WHERE is_healthy AND NOT drained AND available_at <= t
                    ORDER BY available_at LIMIT wanted - cardinality(resting) FOR UPDATE SKIP LOCKED
                ) AS f;
            ELSE
                SELECT coalesce(array_agg(f.id), '{}'), bool_or(f.unended) INTO free, unended
                FROM (
                    SELECT id, fence > 0 AND ending IS NULL AS unended
                    FROM pool.proxies
                    WHERE is_healthy AND NOT drained AND country = wanted_country AND available_at <= t
                    ORDER BY available_at LIMIT wanted - cardinality(resting) FOR UPDATE SKIP LOCKED
                ) AS f;
            END IF;
            free := resting || free;
        END IF;

        IF cardinality(free) > 0 THEN
            -- What expired without a release goes into the history before its row is used again.
            IF unended OR cardinality(resting) > 0 THEN
                INSERT INTO pool.leases (fence, nonce, proxy_id, ip_address, ip_port, country, provider,
                    request_id, offer, holder, granted_at, expires_at, ended_at, ending)
                SELECT fence, nonce, id, ip_address, ip_port, country, provider,
                    request_id, offer, holder, granted_at, expires_at, expires_at, 'EXPIRED'
                FROM pool.proxies WHERE id = ANY (free) AND fence > 0 AND ending IS NULL;
            END IF;
            t := clock_timestamp();
            RETURN QUERY
            UPDATE pool.proxies AS p SET
                fence = nextval('pool.fences'),
                nonce = coalesce(p_nonces[first - 1 + c.place], gen_random_uuid()),
                request_id = p_request_ids[first - 1 + c.place],
                offer = p_offers[first - 1 + c.place],
                holder = p_holders[first - 1 + c.place],
                claims = p_claims[first - 1 + c.place],
                granted_at = t,
                expires_at = t + p_ttls[first - 1 + c.place],
                ended_at = NULL,
                ending = NULL,
                available_at = greatest(p.available_at, t + p_ttls[first - 1 + c.place] + coalesce(
                    p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
                )),
                rest_key = wanted_key,
                reusable = wanted_reuse,
                rested_at = p.available_at,
                rests = CASE WHEN p.available_at > t THEN coalesce(p.rests, '{}') || CASE
                    WHEN p.ending = 'RETURNED' THEN '{}'
                    ELSE jsonb_build_object(p.rest_key, p.available_at)
                END END
            FROM unnest(free) WITH ORDINALITY AS c (id, place) WHERE p.id = c.id
            RETURNING p.request_id, t, p.id, p.fence, p.nonce, p.expires_at,
                p.ip_address, p.ip_port, p.protocol, p.provider, p.country, NULL::timestamptz;
            first := first + cardinality(free);
        END IF;

        IF first <= last THEN
            IF ruled_offer IS NOT NULL THEN
                t := (SELECT min(pool.free_for(p, ruled_offer, wanted_key, wanted_reuse))
                      FROM pool.proxies AS p
                      WHERE p.is_healthy AND NOT p.drained AND wanted_country IN ('', p.country));
            ELSIF wanted_country = '' THEN
                t := (SELECT min(available_at) FROM pool.proxies WHERE is_healthy AND NOT drained);
            ELSE
                t := (SELECT min(available_at) FROM pool.proxies
                      WHERE is_healthy AND NOT drained AND country = wanted_country);
            END IF;
            RETURN QUERY
            SELECT r.request_id, clock_timestamp(), NULL::bigint, NULL::bigint, NULL::uuid, NULL::timestamptz,
                NULL::text, NULL::integer, NULL::text, NULL::text, NULL::text, t
            FROM unnest(p_request_ids[first:last]) AS r (request_id);
            first := last + 1;
        END IF;
    END LOOP;
END
$$;
