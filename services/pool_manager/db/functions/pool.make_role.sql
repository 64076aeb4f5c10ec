-- The role `clicktrace_pool`: all that a running pool manager may do, and nothing beyond its schema. It cannot log in itself; the
-- operator of the database gives it to a role that can: GRANT clicktrace_pool TO somebody.
--
-- Makes the role, unless that is not allowed or done, and gives it its rights. Harmless at any time, and called
-- below whenever this file is applied; an owner who may not make roles calls it once somebody has made the role: SELECT pool.make_role().
CREATE OR REPLACE FUNCTION pool.make_role() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF to_regrole('clicktrace_pool') IS NULL THEN
        BEGIN
            CREATE ROLE clicktrace_pool NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole server, so another database may be at it in this moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'may not make the role clicktrace_pool: have it made, then SELECT pool.make_role()';
                RETURN false;
        END;
    END IF;
    GRANT USAGE ON SCHEMA pool TO clicktrace_pool;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pool TO clicktrace_pool;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pool TO clicktrace_pool;
    -- What later migrations of the same owner add.
    ALTER DEFAULT PRIVILEGES IN SCHEMA pool GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO clicktrace_pool;
    ALTER DEFAULT PRIVILEGES IN SCHEMA pool GRANT USAGE, SELECT ON SEQUENCES TO clicktrace_pool;
    REVOKE INSERT, UPDATE, DELETE ON pool.migrations, pool.functions FROM clicktrace_pool;
    -- The record of who changed what is added to, and forgotten by its age; it is never rewritten.
    REVOKE UPDATE ON pool.audit FROM clicktrace_pool;
    RETURN true;
END
$$;

REVOKE EXECUTE ON FUNCTION pool.make_role() FROM PUBLIC;

SELECT pool.make_role();
