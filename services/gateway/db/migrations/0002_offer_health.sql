-- How the clicks of each offer fare, and what its chains look like: one row that all gateways bring up to date in turn,
-- each with what it saw since its last turn. What is in `state` is known to services/gateway/drift alone.
CREATE TABLE clicks.offer_health (
    offer text PRIMARY KEY REFERENCES clicks.offers (name) ON DELETE CASCADE,
    state jsonb NOT NULL DEFAULT '{}'
) WITH (
    -- A busy offer rewrites its row every few seconds; room in the page and an eager vacuum keep that cheap.
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05
);
