-- Every statement of the gateway, by name.

-- name: offer_get
-- One offer by its name.
SELECT name, document, create_time, update_time FROM clicks.offers WHERE name = $1;

-- name: offer_list
-- A page of offers by name: after name $1, at most $2.
SELECT name, document, create_time, update_time FROM clicks.offers WHERE name > $1 ORDER BY name LIMIT $2;

-- name: offer_insert
-- Adds an offer with document $2; no row when the name is taken.
INSERT INTO clicks.offers (name, document) VALUES ($1, $2::jsonb)
ON CONFLICT (name) DO NOTHING
RETURNING name, document, create_time, update_time;

-- name: offer_lock
-- One offer by its name, locked until the transaction ends.
SELECT name, document, create_time, update_time FROM clicks.offers WHERE name = $1 FOR UPDATE;

-- name: offer_update
-- Writes the fields in $2 into the document of an offer and leaves all others; no row when there is no such offer.
UPDATE clicks.offers SET document = document || $2::jsonb, update_time = clock_timestamp()
WHERE name = $1
RETURNING name, document, create_time, update_time;

-- name: offer_delete
-- Deletes an offer; its clicks stay.
DELETE FROM clicks.offers WHERE name = $1 RETURNING name;

-- name: clicks_write
-- Writes the click records in the JSON array $1. Of each click the newest version is kept, so a repeat changes nothing.
-- Notifies every gateway of clicks that were answered or ended, and queues the webhook deliveries of late results.
WITH given AS (
    SELECT
        click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
        inbound_query, location, final_url, stop_reason, failure_reason, ip_assigned, trace_time, attempts, hops,
        params, joined_click_id, otel_trace_id, visitor_address, user_agent, webhook_url
    FROM jsonb_to_recordset($1::jsonb) AS given (
        click_id text, version integer, offer text, status text, answer text, reason text, start_time timestamptz,
        visitor_wait double precision, end_time timestamptz, give_up_time timestamptz, inbound_query text,
        location text, final_url text, stop_reason text, failure_reason text, ip_assigned text,
        trace_time double precision, attempts jsonb, hops jsonb, params jsonb, joined_click_id text,
        otel_trace_id text, visitor_address text, user_agent text, webhook_url text
    )
), written AS (
    INSERT INTO clicks.clicks AS known (
        click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
        inbound_query, location, final_url, stop_reason, failure_reason, ip_assigned, trace_time, attempts, hops,
        params, joined_click_id, otel_trace_id, visitor_address, user_agent
    )
    SELECT
        click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
        inbound_query, location, final_url, stop_reason, failure_reason, ip_assigned, trace_time, attempts, hops,
        params, joined_click_id, otel_trace_id, visitor_address, user_agent
    FROM given
    ORDER BY click_id
    ON CONFLICT (click_id) DO UPDATE SET
        version = excluded.version, status = excluded.status, answer = excluded.answer, reason = excluded.reason,
        visitor_wait = excluded.visitor_wait, end_time = excluded.end_time, give_up_time = excluded.give_up_time,
        location = excluded.location, final_url = excluded.final_url, stop_reason = excluded.stop_reason,
        failure_reason = excluded.failure_reason, ip_assigned = excluded.ip_assigned,
        trace_time = excluded.trace_time, attempts = excluded.attempts, hops = excluded.hops,
        params = excluded.params, joined_click_id = excluded.joined_click_id, otel_trace_id = excluded.otel_trace_id
    WHERE known.version < excluded.version
    RETURNING click_id, answer, end_time
), queued AS (
    INSERT INTO clicks.webhooks (click_id, offer, url)
    SELECT given.click_id, given.offer, given.webhook_url
    FROM given JOIN written ON written.click_id = given.click_id
    WHERE given.webhook_url <> ''
    ON CONFLICT (click_id) DO NOTHING
)
SELECT pg_notify('clicks_written', string_agg(click_id, ','))
FROM written
WHERE answer <> '' OR end_time IS NOT NULL
HAVING count(*) > 0;

-- name: click_get
-- The whole record of one click.
SELECT
    click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
    inbound_query, location, final_url, stop_reason, attempts, hops, params, joined_click_id, otel_trace_id,
    visitor_address, user_agent
FROM clicks.click_log
WHERE click_id = $1;

-- name: clicks_get
-- The whole records of the clicks in $1 that exist, by click id.
SELECT
    click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
    inbound_query, location, final_url, stop_reason, attempts, hops, params, joined_click_id, otel_trace_id,
    visitor_address, user_agent
FROM clicks.click_log
WHERE click_id = ANY($1::text[])
ORDER BY click_id;

-- name: click_list
-- A page of clicks, newest first, without hops and parameters: older than click $1 (empty: the newest), with offer $2,
-- status $3 and reason $4 (each empty: all), started at or after $5 and before $6 (each NULL: all), at most $7.
SELECT
    click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
    inbound_query, location, final_url, stop_reason, attempts, joined_click_id, otel_trace_id, visitor_address,
    user_agent
FROM clicks.click_log
WHERE ($1 = '' OR click_id < $1)
    AND ($2 = '' OR offer = $2)
    AND ($3 = '' OR status = $3)
    AND ($4 = '' OR reason = $4)
    AND ($5::timestamptz IS NULL OR start_time >= $5)
    AND ($6::timestamptz IS NULL OR start_time < $6)
ORDER BY click_id DESC
LIMIT $7;

-- name: landings_recent
-- The last two landings of each offer in $1, the older one first. Only the last 1,000 clicks of an offer are searched,
-- so that one that never lands does not cost more.
SELECT wanted.offer, recent.final_url
FROM unnest($1::text[]) AS wanted (offer)
CROSS JOIN LATERAL (
    SELECT click_id, final_url
    FROM (
        SELECT click_id, final_url, status, stop_reason, joined_click_id
        FROM clicks.clicks
        WHERE clicks.offer = wanted.offer
        ORDER BY click_id DESC
        LIMIT 1000
    ) AS latest
    WHERE status = 'COMPLETED' AND stop_reason = 'LANDING' AND joined_click_id = ''
    ORDER BY click_id DESC
    LIMIT 2
) AS recent
ORDER BY wanted.offer, recent.click_id;

-- name: leads_claim
-- Makes clicks $2 leaders of identities $1 for $3 seconds each, unless another click leads and its lead has not lapsed;
-- returns the identities that were won. Sorted by identity, so that two gateways cannot deadlock.
INSERT INTO clicks.journeys AS known (identity, click_id, expire_time)
SELECT identity, click_id, clock_timestamp() + seconds * interval '1 second'
FROM unnest($1::text[], $2::text[], $3::double precision[]) AS given (identity, click_id, seconds)
ORDER BY identity
ON CONFLICT (identity) DO UPDATE SET click_id = excluded.click_id, expire_time = excluded.expire_time
WHERE known.expire_time <= clock_timestamp()
RETURNING identity;

-- name: leads_get
-- The leading clicks of identities $1.
SELECT identity, click_id FROM clicks.journeys WHERE identity = ANY($1::text[]);

-- name: leads_keep
-- Extends the leads of clicks $2 over identities $1 to $3 seconds from now, unless other clicks lead by now. The rows are
-- locked sorted by identity first, as claims lock them.
WITH given AS (
    SELECT identity, click_id, seconds
    FROM unnest($1::text[], $2::text[], $3::double precision[]) AS given (identity, click_id, seconds)
), held AS (
    SELECT known.identity
    FROM clicks.journeys AS known JOIN given USING (identity, click_id)
    ORDER BY known.identity
    FOR UPDATE OF known
)
UPDATE clicks.journeys AS known SET expire_time = clock_timestamp() + given.seconds * interval '1 second'
FROM given JOIN held USING (identity)
WHERE known.identity = given.identity AND known.click_id = given.click_id;

-- name: webhooks_claim
-- Claims up to $1 due deliveries; a claim lapses after $2 seconds, so another gateway retries after a crash.
UPDATE clicks.webhooks SET attempts = attempts + 1, due_time = clock_timestamp() + $2 * interval '1 second'
WHERE click_id IN (
    SELECT click_id
    FROM clicks.webhooks
    WHERE NOT dead AND due_time <= clock_timestamp()
    ORDER BY due_time
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING click_id, offer, url, attempts;

-- name: webhook_done
-- Removes a delivery that its receiver has taken.
DELETE FROM clicks.webhooks WHERE click_id = $1;

-- name: webhook_failed
-- Records error $2 of a failed delivery; it is due again in $3 seconds, or a dead letter if $4.
UPDATE clicks.webhooks SET last_error = $2, due_time = clock_timestamp() + $3 * interval '1 second', dead = $4
WHERE click_id = $1;

-- name: clicks_expire
-- Deletes up to $2 clicks that started more than $1 seconds ago.
WITH old AS (
    SELECT click_id FROM clicks.clicks WHERE start_time < now() - $1 * interval '1 second' ORDER BY start_time LIMIT $2
)
DELETE FROM clicks.clicks USING old WHERE clicks.click_id = old.click_id;

-- name: leads_expire
-- Deletes up to $1 lapsed leads.
WITH old AS (SELECT identity FROM clicks.journeys WHERE expire_time < now() LIMIT $1 FOR UPDATE SKIP LOCKED)
DELETE FROM clicks.journeys USING old WHERE journeys.identity = old.identity;

-- name: webhooks_list
-- A page of deliveries that are not taken, by click id: after click $1 (empty: the first), of offer $2 (empty: all), only
-- dead letters if $3, at most $4.
SELECT click_id, offer, url, attempts, dead, last_error, due_time, create_time
FROM clicks.webhooks
WHERE click_id > $1 AND ($2 = '' OR offer = $2) AND (dead OR NOT $3)
ORDER BY click_id
LIMIT $4;

-- name: webhooks_retry
-- Makes the dead letters of clicks $1 and of offer $2 (empty: none) due now, at the present webhook URL of their offer.
UPDATE clicks.webhooks AS dead_one SET
    dead = false, attempts = 0, due_time = clock_timestamp(),
    url = COALESCE(
        (SELECT NULLIF(document ->> 'webhook_url', '') FROM clicks.offers WHERE offers.name = dead_one.offer),
        dead_one.url
    )
WHERE dead AND (click_id = ANY($1::text[]) OR ($2 <> '' AND offer = $2));

-- name: webhooks_expire
-- Deletes dead letters that were queued more than $1 seconds ago.
DELETE FROM clicks.webhooks WHERE dead AND create_time < now() - $1 * interval '1 second';

-- name: health_begin
-- Adds empty health for the offers in $1 that have none; deleted offers are skipped.
INSERT INTO clicks.offer_health (offer)
SELECT name FROM clicks.offers WHERE name = ANY($1::text[]) ORDER BY name FOR KEY SHARE
ON CONFLICT (offer) DO NOTHING;

-- name: health_lock
-- The health of offers $1, locked sorted by name until the transaction ends.
SELECT offer, state, clock_timestamp() AS db_time
FROM clicks.offer_health
WHERE offer = ANY($1::text[])
ORDER BY offer
FOR UPDATE;

-- name: health_write
-- Replaces the health of offers $1 by $2.
UPDATE clicks.offer_health AS known SET state = given.state
FROM unnest($1::text[], $2::jsonb[]) AS given (offer, state)
WHERE known.offer = given.offer;

-- name: health_list
-- A page of offers with their health, by name: after name $1, only offer $2 (empty: all), only drifting ones if $3, at
-- most $4. An offer without clicks has no state.
SELECT name AS offer, state, clock_timestamp() AS db_time
FROM clicks.offers LEFT JOIN clicks.offer_health ON offer = name
WHERE name > $1 AND ($2 = '' OR name = $2) AND (NOT $3 OR jsonb_array_length(state -> 'drifts') > 0)
ORDER BY name
LIMIT $4;
