-- Every statement of the gateway, by name.

-- name: offer_get
-- One offer by its name.
SELECT
    name, tracking_url, country, max_wait, mode, merge_policy, allow_params, deny_params, rename_params,
    identity_params, fallback_url, fallback_policy, landing_hosts, user_agent_policy, allow_app_links, weight,
    join_window, webhook_url, disabled, create_time, update_time
FROM clicks.offers
WHERE name = $1;

-- name: offer_list
-- A page of offers: after name $1, at most $2.
SELECT
    name, tracking_url, country, max_wait, mode, merge_policy, allow_params, deny_params, rename_params,
    identity_params, fallback_url, fallback_policy, landing_hosts, user_agent_policy, allow_app_links, weight,
    join_window, webhook_url, disabled, create_time, update_time
FROM clicks.offers
WHERE name > $1
ORDER BY name
LIMIT $2;

-- name: offer_insert
-- A new offer; no row when the name is taken.
INSERT INTO clicks.offers (
    name, tracking_url, country, max_wait, mode, merge_policy, allow_params, deny_params, rename_params,
    identity_params, fallback_url, fallback_policy, landing_hosts, user_agent_policy, allow_app_links, weight,
    join_window, webhook_url, disabled
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (name) DO NOTHING
RETURNING
    name, tracking_url, country, max_wait, mode, merge_policy, allow_params, deny_params, rename_params,
    identity_params, fallback_url, fallback_policy, landing_hosts, user_agent_policy, allow_app_links, weight,
    join_window, webhook_url, disabled, create_time, update_time;

-- name: offer_lock
-- One offer by its name, locked until the transaction ends.
SELECT
    name, tracking_url, country, max_wait, mode, merge_policy, allow_params, deny_params, rename_params,
    identity_params, fallback_url, fallback_policy, landing_hosts, user_agent_policy, allow_app_links, weight,
    join_window, webhook_url, disabled, create_time, update_time
FROM clicks.offers
WHERE name = $1
FOR UPDATE;

-- name: offer_update
-- The whole offer anew; no row when there is none.
UPDATE clicks.offers SET
    tracking_url = $2, country = $3, max_wait = $4, mode = $5, merge_policy = $6, allow_params = $7,
    deny_params = $8, rename_params = $9, identity_params = $10, fallback_url = $11, fallback_policy = $12,
    landing_hosts = $13, user_agent_policy = $14, allow_app_links = $15, weight = $16, join_window = $17,
    webhook_url = $18, disabled = $19, update_time = clock_timestamp()
WHERE name = $1
RETURNING
    name, tracking_url, country, max_wait, mode, merge_policy, allow_params, deny_params, rename_params,
    identity_params, fallback_url, fallback_policy, landing_hosts, user_agent_policy, allow_app_links, weight,
    join_window, webhook_url, disabled, create_time, update_time;

-- name: offer_delete
-- Takes an offer away; its clicks stay.
DELETE FROM clicks.offers WHERE name = $1 RETURNING name;

-- name: clicks_write
-- Writes many clicks at once, $1 being a JSON array of them. The newer version wins, so a repeat changes nothing.
INSERT INTO clicks.clicks AS known (
    click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
    inbound_query, location, final_url, stop_reason, failure_reason, ip_assigned, trace_time, attempts, hops, params,
    joined_click_id, otel_trace_id, visitor_address, user_agent
)
SELECT
    click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
    inbound_query, location, final_url, stop_reason, failure_reason, ip_assigned, trace_time, attempts, hops, params,
    joined_click_id, otel_trace_id, visitor_address, user_agent
FROM jsonb_to_recordset($1::jsonb) AS given (
    click_id text, version integer, offer text, status text, answer text, reason text, start_time timestamptz,
    visitor_wait double precision, end_time timestamptz, give_up_time timestamptz, inbound_query text, location text,
    final_url text, stop_reason text, failure_reason text, ip_assigned text, trace_time double precision,
    attempts jsonb, hops jsonb, params jsonb, joined_click_id text, otel_trace_id text, visitor_address text,
    user_agent text
)
ON CONFLICT (click_id) DO UPDATE SET
    version = excluded.version, status = excluded.status, answer = excluded.answer, reason = excluded.reason,
    visitor_wait = excluded.visitor_wait, end_time = excluded.end_time, give_up_time = excluded.give_up_time,
    location = excluded.location, final_url = excluded.final_url, stop_reason = excluded.stop_reason,
    failure_reason = excluded.failure_reason, ip_assigned = excluded.ip_assigned, trace_time = excluded.trace_time,
    attempts = excluded.attempts, hops = excluded.hops, params = excluded.params,
    joined_click_id = excluded.joined_click_id, otel_trace_id = excluded.otel_trace_id
WHERE known.version < excluded.version;

-- name: click_get
-- One click, whole.
SELECT
    click_id, version, offer, status, answer, reason, start_time, visitor_wait, end_time, give_up_time,
    inbound_query, location, final_url, stop_reason, attempts, hops, params, joined_click_id, otel_trace_id,
    visitor_address, user_agent
FROM clicks.click_log
WHERE click_id = $1;
