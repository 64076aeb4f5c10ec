-- Lets a proxy that was removed and is added again rest on, as pool.remember_rest noted it. Runs after the insert, which
-- has waited for a removal of the same address that was under way.
CREATE OR REPLACE FUNCTION pool.rest_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pool.proxies AS p SET available_at = greatest(p.available_at, d.available_at)
    FROM added AS a JOIN pool.departed AS d ON d.ip_address = a.ip_address AND d.ip_port = a.ip_port
    WHERE p.id = a.id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER rest_on AFTER INSERT ON pool.proxies REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION pool.rest_on();
