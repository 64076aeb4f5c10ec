-- The click with its status as it is now. ABANDONED is derived from the clock, so it needs nobody to write it.
CREATE OR REPLACE VIEW clicks.click_log AS
SELECT
    click_id, version, offer,
    CASE WHEN status IN ('PENDING', 'TRACING') AND give_up_time < clock_timestamp() THEN 'ABANDONED' ELSE status END
        AS status,
    answer, reason, start_time, visitor_wait, end_time, give_up_time, inbound_query, location, final_url, stop_reason,
    failure_reason, ip_assigned, trace_time, attempts, hops, params, joined_click_id, otel_trace_id, visitor_address,
    user_agent
FROM clicks.clicks;
