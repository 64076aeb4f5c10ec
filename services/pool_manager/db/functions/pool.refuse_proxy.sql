-- Refuses a row that cannot be a proxy, when it is written and not again with every lease: migrations/0006_checks.sql says
-- why these are no CHECKs.
CREATE OR REPLACE FUNCTION pool.refuse_proxy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE check_violation USING
        MESSAGE = format('%s:%s cannot be a proxy of the pool', NEW.ip_address, NEW.ip_port),
        DETAIL = format('It has protocol %s, country %s, provider %s, cooldown %s, consecutive_failures %s.',
            NEW.protocol, NEW.country, NEW.provider, coalesce(NEW.cooldown::text, 'none'), NEW.consecutive_failures),
        HINT = 'An address has 1 to 253 characters, a port is 1 to 65535, a protocol HTTP, HTTPS or SOCKS5, a country two'
            ' lower-case letters, a provider 1 to 64 characters; a cooldown and a count are not negative.';
END
$$;

-- After the row, because a trigger before it would have every row that a lease changes locked once more.
CREATE OR REPLACE TRIGGER proxy_is_sound
AFTER INSERT OR UPDATE OF ip_address, ip_port, protocol, country, provider, cooldown ON pool.proxies
FOR EACH ROW WHEN (NOT (
    length(NEW.ip_address) BETWEEN 1 AND 253
    AND NEW.ip_port BETWEEN 1 AND 65535
    AND NEW.protocol IN ('HTTP', 'HTTPS', 'SOCKS5')
    AND NEW.country ~ '^[a-z]{2}$'
    AND length(NEW.provider) BETWEEN 1 AND 64
    AND (NEW.cooldown IS NULL OR NEW.cooldown >= interval '0')
    AND NEW.consecutive_failures >= 0
)) EXECUTE FUNCTION pool.refuse_proxy();
