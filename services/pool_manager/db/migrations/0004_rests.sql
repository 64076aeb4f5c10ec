-- Who may have an IP that still rests: nobody, unless an offer is served under a rule of its own.
--
-- The two rules, both off by default:
--   reuse     an offer may have an IP again at once where the last lease of it was for this very offer;
--   rest key  the rest holds between leases of one key (the host of the offers) alone; an IP that was used for one host
--             is free for another. Leases without a key rest for everybody, and everybody rests for them.

ALTER TABLE pool.proxies
    -- The rules of the last lease.
    ADD COLUMN rest_key text NOT NULL DEFAULT '',
    ADD COLUMN reusable boolean NOT NULL DEFAULT false,
    -- What `available_at` was before the last lease: what others rest for is not cut short by it.
    ADD COLUMN rested_at timestamptz,
    -- The rests that were not over when the last lease began: their ends by key. Null but under the rules.
    ADD COLUMN rests jsonb;

-- Proxies that were removed while in use or at rest: added again, they rest on.
CREATE TABLE pool.departed (
    ip_address text NOT NULL,
    ip_port integer NOT NULL,
    available_at timestamptz NOT NULL,
    PRIMARY KEY (ip_address, ip_port)
);
