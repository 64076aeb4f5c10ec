-- Ends live leases, starts their cooldowns, counts failures, and writes the history.
--
-- Locks first and reads the clock after, as pool.heartbeat does: otherwise the cooldown would be short by the wait.
-- PROXY_FAILURE counts against an IP, SUCCESS and TARGET_FAILURE clear it, and the others say nothing about it;
-- `p_failure_limit` in a row take it out. After UNUSED there is no cooldown, for nothing left through the IP. Tells those who wait if an IP comes free within a second, for all or for some.
--
-- Returns one row per item, by its place: RELEASED with the end of the cooldown, also for a repeat; LOST; UNKNOWN.
CREATE OR REPLACE FUNCTION pool.release(
    p_proxy_ids bigint[], p_fences bigint[], p_nonces uuid[], p_outcomes text[], p_failure_reasons text[],
    p_trace_times interval[], p_bytes bigint[], p_cooldown interval, p_failure_limit integer, p_probe_pause interval
) RETURNS TABLE (place integer, verdict text, available_at timestamptz, db_time timestamptz) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
-- With these off as well, the items are looked up one by one and in their order.
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
SET jit = off
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
