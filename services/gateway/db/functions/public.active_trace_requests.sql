-- The seed's table, for the seed's own SQL: one row for each trace that was asked for.
CREATE OR REPLACE VIEW public.active_trace_requests AS
SELECT
    click_id AS request_id,
    offer AS offer_name,
    CASE status
        WHEN 'PENDING' THEN 'pending'
        WHEN 'TRACING' THEN 'processing'
        WHEN 'COMPLETED' THEN 'completed'
        WHEN 'FAILED' THEN 'failed'
        WHEN 'ABANDONED' THEN 'abandoned'
    END AS status,
    ip_assigned,
    round(trace_time * 1000)::integer AS trace_time_ms,
    start_time AS started_at,
    end_time AS completed_at,
    NULLIF(COALESCE(NULLIF(failure_reason, ''), reason), '') AS error_message,
    final_url
FROM clicks.click_log
WHERE status <> 'NOT_TRACED' AND joined_click_id = '';
