"""What models cannot say of the ledger: entries balance, and nothing in it ever changes."""

from django.db import migrations

GUARD = """
-- The lines of an entry come in one INSERT and add up to zero in each unit. Judged per statement, so a run that adds a
-- million lines is judged once; lines for an entry that has some already can only be complete in themselves.
CREATE FUNCTION lending_posting_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
    SELECT entry_id, unit, sum(amount) AS total INTO wrong
    FROM added GROUP BY entry_id, unit HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % does not balance: % %', wrong.entry_id, wrong.total, wrong.unit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'lending_posting_balanced';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lending_posting_balanced AFTER INSERT ON lending_posting
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lending_posting_balanced();

-- An entry has lines by the time its transaction ends.
CREATE FUNCTION lending_entry_has_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM lending_posting WHERE entry_id = NEW.id) THEN
        RAISE EXCEPTION 'entry % has no lines', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'lending_entry_has_lines';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER lending_entry_has_lines AFTER INSERT ON lending_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lending_entry_has_lines();

CREATE FUNCTION lending_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the ledger is only added to', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = 'lending_ledger_immutable';
END $$;
CREATE TRIGGER lending_entry_immutable BEFORE UPDATE OR DELETE ON lending_entry
    FOR EACH STATEMENT EXECUTE FUNCTION lending_refuse_change();
CREATE TRIGGER lending_posting_immutable BEFORE UPDATE OR DELETE ON lending_posting
    FOR EACH STATEMENT EXECUTE FUNCTION lending_refuse_change();
"""
UNGUARD = """
DROP TRIGGER lending_posting_immutable ON lending_posting;
DROP TRIGGER lending_entry_immutable ON lending_entry;
DROP FUNCTION lending_refuse_change();
DROP TRIGGER lending_entry_has_lines ON lending_entry;
DROP FUNCTION lending_entry_has_lines();
DROP TRIGGER lending_posting_balanced ON lending_posting;
DROP FUNCTION lending_posting_balanced();
"""


class Migration(migrations.Migration):
    dependencies = [("lending", "0001_initial")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
