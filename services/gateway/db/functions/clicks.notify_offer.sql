-- Gateways keep all offers in memory, and are told of each change whoever makes it.
CREATE OR REPLACE FUNCTION clicks.notify_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('clicks_offers', COALESCE(NEW.name, OLD.name));
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER offers_changed AFTER INSERT OR UPDATE OR DELETE ON clicks.offers
    FOR EACH ROW EXECUTE FUNCTION clicks.notify_offer();
