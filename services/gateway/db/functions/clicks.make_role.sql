-- The role `clicktrace_gateway`: all that a running gateway may do, and nothing beyond its schema. It cannot log in itself; the
-- operator of the database gives it to a role that can: GRANT clicktrace_gateway TO somebody.
--
-- Makes the role, unless that is not allowed or done, and gives it its rights. Harmless at any time, and called
-- below whenever this file is applied; an owner who may not make roles calls it once somebody has made the role: SELECT clicks.make_role().
CREATE OR REPLACE FUNCTION clicks.make_role() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF to_regrole('clicktrace_gateway') IS NULL THEN
        BEGIN
            CREATE ROLE clicktrace_gateway NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole server, so another database may be at it in this moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'may not make the role clicktrace_gateway: have it made, then SELECT clicks.make_role()';
                RETURN false;
        END;
    END IF;
    GRANT USAGE ON SCHEMA clicks TO clicktrace_gateway;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clicks TO clicktrace_gateway;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA clicks TO clicktrace_gateway;
    -- What later migrations of the same owner add.
    ALTER DEFAULT PRIVILEGES IN SCHEMA clicks GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO clicktrace_gateway;
    ALTER DEFAULT PRIVILEGES IN SCHEMA clicks GRANT USAGE, SELECT ON SEQUENCES TO clicktrace_gateway;
    REVOKE INSERT, UPDATE, DELETE ON clicks.migrations, clicks.functions FROM clicktrace_gateway;
    RETURN true;
END
$$;

REVOKE EXECUTE ON FUNCTION clicks.make_role() FROM PUBLIC;

SELECT clicks.make_role();
