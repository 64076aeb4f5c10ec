-- Lets a database of tests be used again: the template gets this once, after the migrations.

CREATE SCHEMA reuse;

-- A test that changed more than rows has left a note here.
CREATE TABLE reuse.changes (command text NOT NULL);

CREATE FUNCTION reuse.note_change() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO reuse.changes VALUES (tg_tag);
END
$$;

-- What the migrations themselves have written (which of them were applied) stays as it is.
CREATE TABLE reuse.kept (name regclass PRIMARY KEY);

DO $$
DECLARE
    candidate regclass;
    has_rows boolean;
BEGIN
    FOR candidate IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('pool'::regnamespace, 'clicks'::regnamespace)
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', candidate) INTO has_rows;
        IF has_rows THEN
            INSERT INTO reuse.kept VALUES (candidate);
        END IF;
    END LOOP;
END
$$;

-- Deletes all rows, starts the sequences again, and ends all other sessions. Returns false, with nothing done, for a
-- database that would not be as new: its schema or settings changed, or so much was written that indexes stay large.
CREATE FUNCTION reuse.empty_database() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    table_name regclass;
    sequence record;
BEGIN
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    IF EXISTS (SELECT FROM reuse.changes)
        OR EXISTS (SELECT FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase WHERE datname = current_database())
        OR EXISTS (SELECT FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('pool'::regnamespace, 'clicks'::regnamespace)
            AND pg_relation_size(oid) > 262144)
    THEN
        RETURN false;
    END IF;
    -- Neither triggers nor foreign keys have a say in this.
    SET LOCAL session_replication_role = replica;
    FOR table_name IN
        SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('pool'::regnamespace, 'clicks'::regnamespace)
            AND oid NOT IN (SELECT name FROM reuse.kept)
    LOOP
        EXECUTE format('DELETE FROM %s', table_name);
    END LOOP;
    FOR sequence IN SELECT seqrelid, seqstart FROM pg_sequence
    LOOP
        PERFORM setval(sequence.seqrelid::regclass, sequence.seqstart, false);
    END LOOP;
    RETURN true;
END
$$;

CREATE EVENT TRIGGER note_change ON ddl_command_end EXECUTE FUNCTION reuse.note_change();
CREATE EVENT TRIGGER note_drop ON sql_drop EXECUTE FUNCTION reuse.note_change();
