-- Made by `make schema` from migrations/ and functions/ beside it, to be read and compared; nothing runs it.

--
-- PostgreSQL database dump
--

--
-- Name: pool; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA pool;

--
-- Name: proxies; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.proxies (
    id bigint NOT NULL,
    ip_address text NOT NULL,
    ip_port integer NOT NULL,
    protocol text DEFAULT 'HTTP'::text NOT NULL,
    country text NOT NULL,
    provider text DEFAULT 'default'::text NOT NULL,
    cooldown interval,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    drained boolean DEFAULT false NOT NULL,
    is_healthy boolean DEFAULT true NOT NULL,
    consecutive_failures integer DEFAULT 0 NOT NULL,
    probe_at timestamp with time zone,
    probe_pause interval,
    exit_address text,
    exit_country text,
    available_at timestamp with time zone DEFAULT now() NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    nonce uuid,
    request_id text,
    offer text,
    holder text,
    granted_at timestamp with time zone,
    expires_at timestamp with time zone,
    ended_at timestamp with time zone,
    ending text,
    claims integer,
    rest_key text DEFAULT ''::text NOT NULL,
    reusable boolean DEFAULT false NOT NULL,
    rested_at timestamp with time zone,
    rests jsonb
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.05');

--
-- Name: claim_probes(integer, interval); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.claim_probes(p_count integer, p_guard interval) RETURNS SETOF pool.proxies
    LANGUAGE plpgsql
    AS $$
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

--
-- Name: close_expired(); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.close_expired() RETURNS integer
    LANGUAGE plpgsql
    AS $$
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

--
-- Name: delete_proxies(bigint[], boolean, boolean); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.delete_proxies(p_proxy_ids bigint[], p_revoke boolean, p_dry_run boolean) RETURNS TABLE(deleted integer, live integer)
    LANGUAGE plpgsql
    AS $$
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

--
-- Name: end_leases(bigint[], text, timestamp with time zone, interval); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.end_leases(p_proxy_ids bigint[], p_ending text, t timestamp with time zone, p_cooldown interval) RETURNS TABLE(proxy_id bigint, ending text)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH ended AS (
        UPDATE pool.proxies AS p SET
            ending = CASE WHEN p.expires_at > t THEN p_ending ELSE 'EXPIRED' END,
            ended_at = least(p.expires_at, t),
            available_at = CASE WHEN p.expires_at > t AND p_cooldown IS NOT NULL THEN greatest(p.rested_at, t + coalesce(
                p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
            )) ELSE p.available_at END
        WHERE p.id = ANY (p_proxy_ids) AND p.fence > 0 AND p.ending IS NULL
        RETURNING p.*
    ), history AS (
        INSERT INTO pool.leases (fence, nonce, proxy_id, ip_address, ip_port, country, provider,
            request_id, offer, holder, granted_at, expires_at, ended_at, ending)
        SELECT fence, nonce, id, ip_address, ip_port, country, provider,
            request_id, offer, holder, granted_at, expires_at, ended_at, ending
        FROM ended
    )
    SELECT id, ending FROM ended;
END
$$;

--
-- Name: free_for(pool.proxies, text, text, boolean); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.free_for(p pool.proxies, p_offer text, p_rest_key text, p_reuse boolean) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
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

--
-- Name: heartbeat(bigint[], bigint[], uuid[], interval[], interval); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.heartbeat(p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[], p_ttls interval[], p_cooldown interval) RETURNS TABLE(place integer, verdict text, expires_at timestamp with time zone, db_time timestamp with time zone)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    UPDATE pool.proxies AS p SET
        expires_at = t + a.ttl,
        available_at = greatest(p.rested_at, t + a.ttl + coalesce(
            p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
        ))
    FROM (
        -- Of several heartbeats of one lease in one group the last one counts.
        SELECT DISTINCT ON (u.proxy_id, u.fence, u.nonce) u.*
        FROM unnest(p_proxy_ids, p_fences, p_nonces, p_ttls)
            WITH ORDINALITY AS u (proxy_id, fence, nonce, ttl, place)
        ORDER BY u.proxy_id, u.fence, u.nonce, u.place DESC
    ) AS a
    WHERE p.id = a.proxy_id AND p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL AND p.expires_at > t;
    RETURN QUERY
    SELECT a.place::integer,
        CASE
            -- What was live at `t` is so still, and with its new end.
            WHEN p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL AND p.expires_at > t THEN 'LIVE'
            -- The lease of a proxy that was deleted meanwhile.
            WHEN p.id IS NULL AND EXISTS (
                SELECT FROM pool.leases AS h WHERE h.fence = a.fence AND h.nonce = a.nonce
            ) THEN 'LOST'
            WHEN p.id IS NULL OR a.fence > p.fence OR (a.fence = p.fence AND a.nonce <> p.nonce) THEN 'UNKNOWN'
            ELSE 'LOST'
        END,
        p.expires_at, t
    FROM unnest(p_proxy_ids, p_fences, p_nonces) WITH ORDINALITY AS a (proxy_id, fence, nonce, place)
    LEFT JOIN pool.proxies AS p ON p.id = a.proxy_id;
END
$$;

--
-- Name: lease(text[], text[], text[], text[], interval[], integer[], boolean[], interval, text[], boolean[], integer[], uuid[]); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.lease(p_request_ids text[], p_countries text[], p_offers text[], p_holders text[], p_ttls interval[], p_claims integer[], p_repeat_only boolean[], p_cooldown interval, p_rest_keys text[] DEFAULT NULL::text[], p_reuse boolean[] DEFAULT NULL::boolean[], p_ends integer[] DEFAULT NULL::integer[], p_nonces uuid[] DEFAULT NULL::uuid[]) RETURNS TABLE(request_id text, db_time timestamp with time zone, proxy_id bigint, fence bigint, nonce uuid, expires_at timestamp with time zone, ip_address text, ip_port integer, protocol text, provider text, country text, next_available_at timestamp with time zone)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
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

--
-- Name: maintain(interval, boolean, boolean); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.maintain(p_retention interval, p_forced boolean, p_dry_run boolean) RETURNS TABLE(statistics_rows integer, expired_leases integer, deleted_rows integer, skipped boolean)
    LANGUAGE plpgsql
    AS $$
DECLARE
    t timestamptz;
    since timestamptz;
    since_fence bigint;
    newest bigint;
    gone integer;
BEGIN
    statistics_rows := 0;
    expired_leases := 0;
    deleted_rows := 0;
    skipped := NOT pg_try_advisory_xact_lock(hashtextextended('pool.maintain', 1))
        OR NOT p_forced AND EXISTS (
            SELECT FROM pool.statistics WHERE end_at > clock_timestamp() - interval '45 seconds'
        );
    IF skipped THEN
        RETURN NEXT;
        RETURN;
    END IF;
    IF p_dry_run THEN
        t := clock_timestamp();
        statistics_rows := (SELECT count(DISTINCT country) FROM pool.proxies);
        expired_leases := (
            SELECT count(*) FROM pool.proxies WHERE fence > 0 AND ending IS NULL AND expires_at <= t
        );
        deleted_rows := (SELECT count(*) FROM pool.leases WHERE ended_at < t - p_retention)
            + (SELECT count(*) FROM pool.statistics WHERE end_at < t - p_retention)
            + (SELECT count(*) FROM pool.audit WHERE at < t - p_retention);
        RETURN NEXT;
        RETURN;
    END IF;

    expired_leases := pool.close_expired();
    SELECT end_at, last_fence INTO since, since_fence FROM pool.statistics ORDER BY end_at DESC LIMIT 1;
    newest := (SELECT last_value FROM pool.fences);
    t := clock_timestamp();
    since := coalesce(since, t - interval '1 minute');

    WITH tallied AS (
        DELETE FROM pool.tallies RETURNING country, refusals, waits
    ), counted AS (
        SELECT country, sum(refusals) AS refusals, sum(waits) AS waits FROM tallied GROUP BY country
    ), granted AS (
        SELECT country, count(*) AS grants
        FROM (
            SELECT country, granted_at FROM pool.leases WHERE fence > coalesce(since_fence, 0) AND fence <= newest
            UNION ALL
            SELECT country, granted_at FROM pool.proxies
            WHERE fence > coalesce(since_fence, 0) AND fence <= newest AND ending IS NULL
        ) AS leases
        WHERE since_fence IS NOT NULL OR granted_at > since
        GROUP BY country
    ), used AS (
        SELECT l.country,
            avg(coalesce(l.trace_time, l.ended_at - l.granted_at)) AS mean_trace_time,
            count(*) FILTER (WHERE l.outcome = 'PROXY_FAILURE') AS proxy_failures,
            sum(v.price) AS cost
        FROM pool.leases AS l LEFT JOIN pool.providers AS v ON v.name = l.provider
        WHERE l.ended_at > since AND l.ended_at <= t
        GROUP BY l.country
    ), now AS (
        SELECT country, count(*) AS total,
            count(*) FILTER (WHERE state = 'available') AS available,
            count(*) FILTER (WHERE state = 'in_use') AS in_use,
            count(*) FILTER (WHERE state = 'cooldown') AS cooldown,
            count(*) FILTER (WHERE state = 'unhealthy') AS unhealthy,
            count(*) FILTER (WHERE state = 'drained') AS drained
        FROM (
            SELECT country, pool.state_of(drained, is_healthy, ending, expires_at, available_at, t) AS state
            FROM pool.proxies
        ) AS states
        GROUP BY country
    )
    INSERT INTO pool.statistics (country, start_at, end_at, last_fence, total, available, in_use, cooldown, unhealthy,
        drained, utilization, grants, refusals, waits, mean_trace_time, proxy_failures, estimated_cost)
    SELECT country, since, t, newest, coalesce(total, 0), coalesce(available, 0), coalesce(in_use, 0),
        coalesce(cooldown, 0), coalesce(unhealthy, 0), coalesce(drained, 0),
        coalesce((in_use + cooldown)::double precision / nullif(in_use + cooldown + available, 0), 0),
        coalesce(grants, 0), coalesce(refusals, 0), coalesce(waits, 0), mean_trace_time,
        coalesce(proxy_failures, 0), coalesce(cost, 0)
    -- Also for a country that is asked for and has no IP at all, and (the empty one) for requests for any country.
    FROM now FULL JOIN counted USING (country) LEFT JOIN granted USING (country) LEFT JOIN used USING (country);
    GET DIAGNOSTICS statistics_rows = ROW_COUNT;

    -- In bites, so that no run is long; the next one goes on.
    DELETE FROM pool.leases WHERE fence IN (
        SELECT fence FROM pool.leases WHERE ended_at < t - p_retention ORDER BY ended_at LIMIT 50000
    );
    GET DIAGNOSTICS deleted_rows = ROW_COUNT;
    DELETE FROM pool.statistics WHERE end_at < t - p_retention;
    GET DIAGNOSTICS gone = ROW_COUNT;
    deleted_rows := deleted_rows + gone;
    DELETE FROM pool.audit WHERE at < t - p_retention;
    GET DIAGNOSTICS gone = ROW_COUNT;
    deleted_rows := deleted_rows + gone;
    RETURN NEXT;
END
$$;

--
-- Name: make_role(); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.make_role() RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF to_regrole('clicktrace_pool') IS NULL THEN
        BEGIN
            CREATE ROLE clicktrace_pool NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole server, so another database may be at it in this moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'may not make the role clicktrace_pool: have it made, then SELECT pool.make_role()';
                RETURN false;
        END;
    END IF;
    GRANT USAGE ON SCHEMA pool TO clicktrace_pool;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pool TO clicktrace_pool;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pool TO clicktrace_pool;
    -- What later migrations of the same owner add.
    ALTER DEFAULT PRIVILEGES IN SCHEMA pool GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO clicktrace_pool;
    ALTER DEFAULT PRIVILEGES IN SCHEMA pool GRANT USAGE, SELECT ON SEQUENCES TO clicktrace_pool;
    REVOKE INSERT, UPDATE, DELETE ON pool.migrations, pool.functions FROM clicktrace_pool;
    -- The record of who changed what is added to, and forgotten by its age; it is never rewritten.
    REVOKE UPDATE ON pool.audit FROM clicktrace_pool;
    RETURN true;
END
$$;

--
-- Name: probed(bigint, timestamp with time zone, text, text, interval); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.probed(p_proxy_id bigint, p_claim timestamp with time zone, p_exit_address text, p_exit_country text, p_first_pause interval) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

--
-- Name: provision(text[], integer[], text[], text[], text[], interval[], boolean); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.provision(p_ip_addresses text[], p_ip_ports integer[], p_protocols text[], p_countries text[], p_providers text[], p_cooldowns interval[], p_dry_run boolean) RETURNS TABLE(created bigint, updated bigint, unchanged bigint)
    LANGUAGE plpgsql
    AS $$
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

--
-- Name: refuse_proxy(); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.refuse_proxy() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE check_violation USING
        MESSAGE = format('%s:%s cannot be a proxy of the pool', NEW.ip_address, NEW.ip_port),
        DETAIL = format('It has protocol %s, country %s, provider %s, cooldown %s, consecutive_failures %s.',
            NEW.protocol, NEW.country, NEW.provider, coalesce(NEW.cooldown::text, 'none'), NEW.consecutive_failures),
        HINT = 'An address has 1 to 253 characters, a port is 1 to 65535, a protocol HTTP, HTTPS or SOCKS5, a country two'
            ' lower-case letters, a provider 1 to 64 characters; a cooldown and a count are not negative.';
END
$$;

--
-- Name: release(bigint[], bigint[], uuid[], text[], text[], interval[], bigint[], interval, integer, interval); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.release(p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[], p_outcomes text[], p_failure_reasons text[], p_trace_times interval[], p_bytes bigint[], p_cooldown interval, p_failure_limit integer, p_probe_pause interval) RETURNS TABLE(place integer, verdict text, available_at timestamp with time zone, db_time timestamp with time zone)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    t timestamptz;
    done integer[] := '{}';
    soon boolean;
    told boolean := false;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    verdict := 'RELEASED';
    db_time := t;
    FOR place, available_at, soon IN
        WITH ended AS (
            UPDATE pool.proxies AS p SET
                ending = 'RELEASED',
                ended_at = t,
                available_at = greatest(p.rested_at, CASE WHEN a.outcome = 'UNUSED' THEN t ELSE t + coalesce(
                    p.cooldown, (SELECT v.cooldown FROM pool.providers AS v WHERE v.name = p.provider), p_cooldown
                ) END),
                consecutive_failures = CASE
                    WHEN a.outcome = 'PROXY_FAILURE' THEN p.consecutive_failures + 1
                    WHEN a.outcome IN ('SUCCESS', 'TARGET_FAILURE') THEN 0
                    ELSE p.consecutive_failures
                END
            -- Of several releases of one lease in one group the first one counts: a statement changes a row once.
            FROM unnest(p_proxy_ids, p_fences, p_nonces, p_outcomes, p_failure_reasons, p_trace_times, p_bytes)
                WITH ORDINALITY AS a (proxy_id, fence, nonce, outcome, failure_reason, trace_time, bytes, place)
            WHERE p.id = a.proxy_id AND p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL
                AND p.expires_at > t
            RETURNING p.*, a.outcome, a.failure_reason, a.trace_time, a.bytes, a.place
        ), history AS (
            INSERT INTO pool.leases (fence, nonce, proxy_id, ip_address, ip_port, country, provider,
                request_id, offer, holder, granted_at, expires_at, ended_at, ending,
                outcome, failure_reason, trace_time, bytes)
            SELECT fence, nonce, id, ip_address, ip_port, country, provider,
                request_id, offer, holder, granted_at, expires_at, t, 'RELEASED',
                outcome, failure_reason, trace_time, bytes
            FROM ended
        )
        SELECT place, available_at, available_at < t + interval '1 second' OR reusable OR rest_key <> '' FROM ended
    LOOP
        done := done || place;
        told := told OR soon;
        RETURN NEXT;
    END LOOP;

    IF cardinality(done) < cardinality(p_proxy_ids) THEN
        RETURN QUERY
        SELECT a.place::integer,
            CASE
                -- By the call that this one repeats.
                WHEN p.fence = a.fence AND p.nonce = a.nonce AND p.ending = 'RELEASED' THEN 'RELEASED'
                -- The lease of a proxy that was deleted meanwhile.
                WHEN p.id IS NULL AND EXISTS (
                    SELECT FROM pool.leases AS h WHERE h.fence = a.fence AND h.nonce = a.nonce
                ) THEN 'LOST'
                WHEN p.id IS NULL OR a.fence > p.fence OR (a.fence = p.fence AND a.nonce <> p.nonce) THEN 'UNKNOWN'
                ELSE 'LOST'
            END,
            p.available_at, t
        FROM unnest(p_proxy_ids, p_fences, p_nonces) WITH ORDINALITY AS a (proxy_id, fence, nonce, place)
        LEFT JOIN pool.proxies AS p ON p.id = a.proxy_id
        WHERE a.place <> ALL (done);
    END IF;

    -- Those who wait on other replicas look again soon enough by themselves, unless the rest is very short or does not
    -- hold for all.
    IF told THEN
        NOTIFY pool_freed;
    END IF;
    IF 'PROXY_FAILURE' = ANY (p_outcomes) THEN
        UPDATE pool.proxies SET is_healthy = false, probe_at = t + p_probe_pause, probe_pause = p_probe_pause
        WHERE id = ANY (p_proxy_ids) AND is_healthy AND consecutive_failures >= p_failure_limit AND ended_at = t;
    END IF;
END
$$;

--
-- Name: remember_rest(); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.remember_rest() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM pool.departed WHERE available_at <= clock_timestamp();
    INSERT INTO pool.departed (ip_address, ip_port, available_at)
    SELECT ip_address, ip_port, available_at FROM removed WHERE available_at > clock_timestamp()
    ON CONFLICT (ip_address, ip_port) DO UPDATE SET available_at = excluded.available_at;
    RETURN NULL;
END
$$;

--
-- Name: rest_on(); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.rest_on() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE pool.proxies AS p SET available_at = greatest(p.available_at, d.available_at)
    FROM added AS a JOIN pool.departed AS d ON d.ip_address = a.ip_address AND d.ip_port = a.ip_port
    WHERE p.id = a.id;
    RETURN NULL;
END
$$;

--
-- Name: return_unseen(bigint[], bigint[], uuid[]); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.return_unseen(p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS $$
DECLARE
    t timestamptz;
BEGIN
    PERFORM FROM pool.proxies WHERE id = ANY (p_proxy_ids) ORDER BY id FOR UPDATE;
    t := clock_timestamp();
    UPDATE pool.proxies AS p SET
        claims = p.claims - a.claims,
        ending = CASE WHEN p.claims <= a.claims THEN 'RETURNED' END,
        ended_at = CASE WHEN p.claims <= a.claims THEN t END,
        available_at = CASE WHEN p.claims <= a.claims THEN greatest(t, p.rested_at) ELSE p.available_at END
    FROM (
        SELECT u.proxy_id, u.fence, u.nonce, count(*) AS claims
        FROM unnest(p_proxy_ids, p_fences, p_nonces) AS u (proxy_id, fence, nonce)
        GROUP BY u.proxy_id, u.fence, u.nonce
    ) AS a
    WHERE p.id = a.proxy_id AND p.fence = a.fence AND p.nonce = a.nonce AND p.ending IS NULL;
    NOTIFY pool_freed;
END
$$;

--
-- Name: revoke(bigint, bigint, uuid, interval, boolean); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.revoke(p_proxy_id bigint, p_fence bigint, p_nonce uuid, p_cooldown interval, p_dry_run boolean) RETURNS TABLE(verdict text, available_at timestamp with time zone)
    LANGUAGE plpgsql
    AS $$
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

--
-- Name: state_of(boolean, boolean, text, timestamp with time zone, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.state_of(drained boolean, is_healthy boolean, ending text, expires_at timestamp with time zone, available_at timestamp with time zone, t timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE
        WHEN drained THEN 'drained'
        WHEN ending IS NULL AND expires_at > t THEN 'in_use'
        WHEN NOT is_healthy THEN 'unhealthy'
        WHEN available_at > t THEN 'cooldown'
        ELSE 'available'
    END
$$;

--
-- Name: tell_freed(); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.tell_freed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NOTIFY pool_freed;
    RETURN NULL;
END
$$;

--
-- Name: update_proxies(bigint[], text, boolean); Type: FUNCTION; Schema: pool; Owner: -
--

CREATE FUNCTION pool.update_proxies(p_proxy_ids bigint[], p_action text, p_dry_run boolean) RETURNS TABLE(matched integer, changed integer)
    LANGUAGE plpgsql
    AS $$
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

--
-- Name: release_expired_ip_locks(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.release_expired_ip_locks() RETURNS integer
    LANGUAGE sql
    AS $$
    SELECT pool.close_expired()
$$;

--
-- Name: audit; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    details jsonb NOT NULL
);

--
-- Name: audit_id_seq; Type: SEQUENCE; Schema: pool; Owner: -
--

ALTER TABLE pool.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pool.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: departed; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.departed (
    ip_address text NOT NULL,
    ip_port integer NOT NULL,
    available_at timestamp with time zone NOT NULL
);

--
-- Name: fences; Type: SEQUENCE; Schema: pool; Owner: -
--

CREATE SEQUENCE pool.fences
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

--
-- Name: functions; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.functions (
    name text NOT NULL,
    checksum text NOT NULL,
    set_version integer NOT NULL,
    schema_version integer NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

--
-- Name: leases; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.leases (
    fence bigint NOT NULL,
    nonce uuid NOT NULL,
    proxy_id bigint NOT NULL,
    ip_address text NOT NULL,
    ip_port integer NOT NULL,
    country text NOT NULL,
    provider text NOT NULL,
    request_id text NOT NULL,
    offer text NOT NULL,
    holder text NOT NULL,
    granted_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    ending text NOT NULL,
    outcome text,
    failure_reason text DEFAULT ''::text NOT NULL,
    trace_time interval,
    bytes bigint
);

--
-- Name: migrations; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

--
-- Name: providers; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.providers (
    name text NOT NULL,
    cooldown interval,
    price numeric DEFAULT 0 NOT NULL,
    CONSTRAINT providers_cooldown_check CHECK ((cooldown >= '00:00:00'::interval)),
    CONSTRAINT providers_price_check CHECK ((price >= (0)::numeric))
);

--
-- Name: proxies_id_seq; Type: SEQUENCE; Schema: pool; Owner: -
--

ALTER TABLE pool.proxies ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pool.proxies_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: statistics; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.statistics (
    id bigint NOT NULL,
    country text NOT NULL,
    start_at timestamp with time zone NOT NULL,
    end_at timestamp with time zone NOT NULL,
    last_fence bigint NOT NULL,
    total integer NOT NULL,
    available integer NOT NULL,
    in_use integer NOT NULL,
    cooldown integer NOT NULL,
    unhealthy integer NOT NULL,
    drained integer NOT NULL,
    utilization double precision NOT NULL,
    grants bigint NOT NULL,
    refusals bigint NOT NULL,
    waits bigint NOT NULL,
    mean_trace_time interval,
    proxy_failures bigint NOT NULL,
    estimated_cost numeric NOT NULL
);

--
-- Name: statistics_id_seq; Type: SEQUENCE; Schema: pool; Owner: -
--

ALTER TABLE pool.statistics ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pool.statistics_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: tallies; Type: TABLE; Schema: pool; Owner: -
--

CREATE TABLE pool.tallies (
    id bigint NOT NULL,
    country text NOT NULL,
    refusals bigint NOT NULL,
    waits bigint NOT NULL
);

--
-- Name: tallies_id_seq; Type: SEQUENCE; Schema: pool; Owner: -
--

ALTER TABLE pool.tallies ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pool.tallies_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: ip_pool_statistics; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.ip_pool_statistics AS
 SELECT id,
    end_at AS recorded_at,
    country,
    start_at,
    end_at,
    total AS total_ips,
    available AS available_ips,
    in_use AS in_use_ips,
    cooldown AS cooldown_ips,
    unhealthy AS unhealthy_ips,
    drained AS drained_ips,
    utilization,
    grants,
    refusals,
    waits,
    (EXTRACT(epoch FROM mean_trace_time) * (1000)::numeric) AS mean_trace_time_ms,
    proxy_failures,
    estimated_cost
   FROM pool.statistics;

--
-- Name: ip_rotation_pool; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.ip_rotation_pool AS
 SELECT id,
    ip_address,
    ip_port,
    protocol,
    country,
    provider,
    pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock_timestamp()) AS status,
    is_healthy,
    consecutive_failures,
    drained,
    cooldown,
    available_at,
    created_at,
    fence,
    request_id,
    offer,
    holder,
    granted_at AS last_used_at,
    expires_at AS lock_expires_at
   FROM pool.proxies;

--
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

--
-- Name: departed departed_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.departed
    ADD CONSTRAINT departed_pkey PRIMARY KEY (ip_address, ip_port);

--
-- Name: functions functions_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.functions
    ADD CONSTRAINT functions_pkey PRIMARY KEY (name);

--
-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (fence);

--
-- Name: migrations migrations_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);

--
-- Name: providers providers_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.providers
    ADD CONSTRAINT providers_pkey PRIMARY KEY (name);

--
-- Name: proxies proxies_ip_address_ip_port_key; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.proxies
    ADD CONSTRAINT proxies_ip_address_ip_port_key UNIQUE (ip_address, ip_port);

--
-- Name: proxies proxies_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.proxies
    ADD CONSTRAINT proxies_pkey PRIMARY KEY (id);

--
-- Name: statistics statistics_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.statistics
    ADD CONSTRAINT statistics_pkey PRIMARY KEY (id);

--
-- Name: tallies tallies_pkey; Type: CONSTRAINT; Schema: pool; Owner: -
--

ALTER TABLE ONLY pool.tallies
    ADD CONSTRAINT tallies_pkey PRIMARY KEY (id);

--
-- Name: audit_by_time; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX audit_by_time ON pool.audit USING btree (at);

--
-- Name: leases_by_end; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX leases_by_end ON pool.leases USING btree (ended_at);

--
-- Name: leases_of_address; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX leases_of_address ON pool.leases USING btree (ip_address, granted_at);

--
-- Name: proxies_free; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX proxies_free ON pool.proxies USING btree (available_at) WHERE (is_healthy AND (NOT drained));

--
-- Name: proxies_free_in_country; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX proxies_free_in_country ON pool.proxies USING btree (country, available_at) WHERE (is_healthy AND (NOT drained));

--
-- Name: proxies_not_ended; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX proxies_not_ended ON pool.proxies USING btree (request_id) WHERE ((fence > 0) AND (ending IS NULL));

--
-- Name: proxies_own_cooldown; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX proxies_own_cooldown ON pool.proxies USING btree (cooldown) WHERE (cooldown IS NOT NULL);

--
-- Name: proxies_unhealthy; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX proxies_unhealthy ON pool.proxies USING btree (probe_at) WHERE (NOT is_healthy);

--
-- Name: statistics_by_country; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX statistics_by_country ON pool.statistics USING btree (country, end_at);

--
-- Name: statistics_by_time; Type: INDEX; Schema: pool; Owner: -
--

CREATE INDEX statistics_by_time ON pool.statistics USING btree (end_at);

--
-- Name: proxies proxy_is_sound; Type: TRIGGER; Schema: pool; Owner: -
--

CREATE TRIGGER proxy_is_sound AFTER INSERT OR UPDATE OF ip_address, ip_port, protocol, country, provider, cooldown ON pool.proxies FOR EACH ROW WHEN ((NOT (((length(new.ip_address) >= 1) AND (length(new.ip_address) <= 253)) AND ((new.ip_port >= 1) AND (new.ip_port <= 65535)) AND (new.protocol = ANY (ARRAY['HTTP'::text, 'HTTPS'::text, 'SOCKS5'::text])) AND (new.country ~ '^[a-z]{2}$'::text) AND ((length(new.provider) >= 1) AND (length(new.provider) <= 64)) AND ((new.cooldown IS NULL) OR (new.cooldown >= '00:00:00'::interval)) AND (new.consecutive_failures >= 0)))) EXECUTE FUNCTION pool.refuse_proxy();

--
-- Name: proxies remember_rest; Type: TRIGGER; Schema: pool; Owner: -
--

CREATE TRIGGER remember_rest AFTER DELETE ON pool.proxies REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION pool.remember_rest();

--
-- Name: proxies rest_on; Type: TRIGGER; Schema: pool; Owner: -
--

CREATE TRIGGER rest_on AFTER INSERT ON pool.proxies REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION pool.rest_on();

--
-- Name: proxies tell_freed; Type: TRIGGER; Schema: pool; Owner: -
--

CREATE TRIGGER tell_freed AFTER INSERT OR UPDATE OF is_healthy, drained, country, cooldown ON pool.proxies FOR EACH STATEMENT EXECUTE FUNCTION pool.tell_freed();

--
-- Name: SCHEMA pool; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA pool TO clicktrace_pool;

--
-- Name: TABLE proxies; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE pool.proxies TO clicktrace_pool;

--
-- Name: FUNCTION make_role(); Type: ACL; Schema: pool; Owner: -
--

REVOKE ALL ON FUNCTION pool.make_role() FROM PUBLIC;

--
-- Name: TABLE audit; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,INSERT,DELETE ON TABLE pool.audit TO clicktrace_pool;

--
-- Name: SEQUENCE audit_id_seq; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,USAGE ON SEQUENCE pool.audit_id_seq TO clicktrace_pool;

--
-- Name: TABLE departed; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE pool.departed TO clicktrace_pool;

--
-- Name: SEQUENCE fences; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,USAGE ON SEQUENCE pool.fences TO clicktrace_pool;

--
-- Name: TABLE functions; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT ON TABLE pool.functions TO clicktrace_pool;

--
-- Name: TABLE leases; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE pool.leases TO clicktrace_pool;

--
-- Name: TABLE migrations; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT ON TABLE pool.migrations TO clicktrace_pool;

--
-- Name: TABLE providers; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE pool.providers TO clicktrace_pool;

--
-- Name: SEQUENCE proxies_id_seq; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,USAGE ON SEQUENCE pool.proxies_id_seq TO clicktrace_pool;

--
-- Name: TABLE statistics; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE pool.statistics TO clicktrace_pool;

--
-- Name: SEQUENCE statistics_id_seq; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,USAGE ON SEQUENCE pool.statistics_id_seq TO clicktrace_pool;

--
-- Name: TABLE tallies; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE pool.tallies TO clicktrace_pool;

--
-- Name: SEQUENCE tallies_id_seq; Type: ACL; Schema: pool; Owner: -
--

GRANT SELECT,USAGE ON SEQUENCE pool.tallies_id_seq TO clicktrace_pool;

--
-- Name: DEFAULT PRIVILEGES FOR SEQUENCES; Type: DEFAULT ACL; Schema: pool; Owner: -
--

ALTER DEFAULT PRIVILEGES FOR ROLE clicktrace IN SCHEMA pool GRANT SELECT,USAGE ON SEQUENCES TO clicktrace_pool;

--
-- Name: DEFAULT PRIVILEGES FOR TABLES; Type: DEFAULT ACL; Schema: pool; Owner: -
--

ALTER DEFAULT PRIVILEGES FOR ROLE clicktrace IN SCHEMA pool GRANT SELECT,INSERT,DELETE,UPDATE ON TABLES TO clicktrace_pool;

--
-- PostgreSQL database dump complete
--
