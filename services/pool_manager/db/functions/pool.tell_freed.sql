-- Tells those who wait, on every replica, that an IP may have come free; also when someone writes SQL by hand.
CREATE OR REPLACE FUNCTION pool.tell_freed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY pool_freed;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER tell_freed AFTER INSERT OR UPDATE OF is_healthy, drained, country, cooldown ON pool.proxies
FOR EACH STATEMENT EXECUTE FUNCTION pool.tell_freed();
