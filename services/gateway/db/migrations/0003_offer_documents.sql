-- An offer becomes one document, so that a new field needs no column, and a gateway keeps fields that it does not know.
-- What the gateway queries stays outside it or has an expression: `name` and `document ->> 'webhook_url'`.
--
-- The columns go at once, not a release later: no release has had them. A gateway of before goes on serving the offers that
-- it has in memory; nothing is announced to it, because it could not read what it would be told to read.
ALTER TABLE clicks.offers DISABLE TRIGGER USER;

ALTER TABLE clicks.offers ADD COLUMN document jsonb;

UPDATE clicks.offers SET document = jsonb_build_object(
    'tracking_url', tracking_url,
    'country', country,
    'max_wait', max_wait,
    'mode', mode,
    'merge_policy', merge_policy,
    'allow_params', allow_params,
    'deny_params', deny_params,
    'rename_params', rename_params,
    'identity_params', identity_params,
    'fallback_url', fallback_url,
    'fallback_policy', fallback_policy,
    'landing_hosts', landing_hosts,
    'user_agent_policy', user_agent_policy,
    'allow_app_links', allow_app_links,
    'weight', weight,
    'join_window', join_window,
    'webhook_url', webhook_url,
    'disabled', disabled
);

ALTER TABLE clicks.offers
    ALTER COLUMN document SET NOT NULL,
    ADD CONSTRAINT offers_document_check CHECK (jsonb_typeof(document) = 'object'),
    DROP COLUMN tracking_url,
    DROP COLUMN country,
    DROP COLUMN max_wait,
    DROP COLUMN mode,
    DROP COLUMN merge_policy,
    DROP COLUMN allow_params,
    DROP COLUMN deny_params,
    DROP COLUMN rename_params,
    DROP COLUMN identity_params,
    DROP COLUMN fallback_url,
    DROP COLUMN fallback_policy,
    DROP COLUMN landing_hosts,
    DROP COLUMN user_agent_policy,
    DROP COLUMN allow_app_links,
    DROP COLUMN weight,
    DROP COLUMN join_window,
    DROP COLUMN webhook_url,
    DROP COLUMN disabled;

ALTER TABLE clicks.offers ENABLE TRIGGER USER;

COMMENT ON COLUMN clicks.offers.document IS
    'The fields of clicktrace.gateway.v1.Offer by name; times in seconds, enum values by name. A field that is missing has '
    'its default; a null max_wait takes the default of the gateway.';
