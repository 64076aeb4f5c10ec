CREATE OR REPLACE FUNCTION pool.remember_rest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM pool.departed WHERE available_at <= clock_timestamp();
    INSERT INTO pool.departed (ip_address, ip_port, available_at)
    SELECT ip_address, ip_port, available_at FROM removed WHERE available_at > clock_timestamp()
    ON CONFLICT (ip_address, ip_port) DO UPDATE SET available_at = excluded.available_at;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER remember_rest AFTER DELETE ON pool.proxies REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION pool.remember_rest();
