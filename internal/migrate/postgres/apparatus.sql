-- What godwit keeps in each side of a moving database. Run as often as wanted.
-- Where pg_temp is not named it is looked into first: whoever calls one of these functions could put a view of his own
-- in the place of one of the server's, and have it run with the rights of the function's owner.
CREATE TABLE IF NOT EXISTS godwit.state (key text PRIMARY KEY, value text NOT NULL);

-- Published: a row that arrives on the other side says that all before it has arrived.
CREATE TABLE IF NOT EXISTS godwit.marker (side text PRIMARY KEY, n bigint NOT NULL);

CREATE TABLE IF NOT EXISTS godwit.fence (
	one             boolean PRIMARY KEY DEFAULT true CHECK (one),
	raised          boolean NOT NULL DEFAULT false, -- writes are refused, until godwit.until
	closed          boolean NOT NULL DEFAULT false, -- new sessions are read-only
	prior_limit     integer,                        -- connection limit that a godwit of before 2026-12 has taken away
	prior_read_only text,                           -- what there was before it was closed; null: not set for the database
	closed_at       timestamptz                     -- sessions younger than this are read-only
);
ALTER TABLE godwit.fence ADD COLUMN IF NOT EXISTS closed_at timestamptz;
INSERT INTO godwit.fence DEFAULT VALUES ON CONFLICT DO NOTHING;

-- When the fence ends by itself, in microseconds since 1970 by this server's clock; the largest number is never. It is
-- a sequence because everybody sees its value at once, whatever snapshot they have: a transaction that began before
-- the decision must not take the fence for one that has ended.
CREATE SEQUENCE IF NOT EXISTS godwit.until MINVALUE 0 START 9223372036854775807;

CREATE OR REPLACE FUNCTION godwit.now() RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS
	$$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- stands says whether writes are refused now. It reads the clock before the deadline: what decide has made one for good
-- in between was in time then.
CREATE OR REPLACE FUNCTION godwit.stands() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	t CONSTANT bigint := godwit.now();
BEGIN
	IF (SELECT f.raised FROM godwit.fence f) THEN
		RETURN t < (SELECT u.last_value FROM godwit.until u);
	END IF;
	RETURN false;
END $$;

-- passes says whether this session is the one that godwit has let through for a moment: it makes a change of definitions
-- that the other side has, or will have. A session cannot take the place of another: its begin is part of the pass.
CREATE OR REPLACE FUNCTION godwit.passes() RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM godwit.state s, pg_stat_get_activity(pg_backend_pid()) a
		WHERE s.key = 'pass' AND s.value = a.pid || ' ' || extract(epoch FROM a.backend_start))
$$;
REVOKE EXECUTE ON FUNCTION godwit.passes() FROM PUBLIC;

-- borrows says whether a worker of a subscription, before Postgres 16, does a statement that what a table's owner wrote
-- has it do: a trigger, a constraint, a default. It would be done with the rights to write every table that moves. Of the
-- statements of the worker itself only the copy of a table, and TRUNCATE, fire triggers; nothing is above them on the
-- stack but, from 15 on, one line about the transaction. Where all tables have one owner, nobody borrows anything.
CREATE OR REPLACE FUNCTION godwit.borrows(op text, relation oid, stack text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	version CONSTANT int := current_setting('server_version_num');
BEGIN
	IF version >= 160000 OR NOT EXISTS (SELECT FROM pg_stat_get_activity(pg_backend_pid()) a WHERE a.backend_type LIKE 'logical replication%') THEN
		RETURN false;
	END IF;
	IF op = 'INSERT' AND EXISTS (SELECT FROM pg_stat_get_subscription(NULL) s WHERE s.pid = pg_backend_pid() AND s.relid = relation) THEN
		RETURN false;
	END IF;
	IF op = 'TRUNCATE' AND length(stack) - length(replace(stack, E'\n', '')) <= (CASE WHEN version >= 150000 THEN 1 ELSE 0 END) THEN
		RETURN false;
	END IF;
	RETURN (SELECT count(DISTINCT c.relowner) > 1 FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgname = 'godwit_guard');
END $$;

-- Statement triggers fire for every role, and, enabled as ALWAYS, under session_replication_role too. The workers of a
-- subscription fire them only for the initial copy and for TRUNCATE: these are let through.
CREATE OR REPLACE FUNCTION godwit.guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	stack text;
BEGIN
	IF current_setting('session_replication_role') = 'replica' THEN
		GET DIAGNOSTICS stack = PG_CONTEXT;
		IF godwit.borrows(TG_OP, TG_RELID, stack) THEN
			RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
				MESSAGE = format('godwit: %s of table %s by what runs when a row of another table arrives is refused', TG_OP, TG_RELID::regclass),
				HINT = 'Until Postgres 16 it would be done with rights that the owner of that table need not have. Drop or disable the trigger, constraint or default that does it.';
		END IF;
	END IF;
	IF godwit.stands() THEN
		IF EXISTS (SELECT FROM pg_stat_get_activity(pg_backend_pid()) a WHERE a.backend_type LIKE 'logical replication%') OR godwit.passes() THEN
			RETURN NULL;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
			MESSAGE = 'godwit: this side of the database is fenced, writes are refused',
			HINT = 'Its other side holds the truth, or is about to.';
	END IF;
	RETURN NULL;
END $$;

-- Let through are the sessions of an engine: they hold its lock, which any role may take, and are of a role that may
-- do everything here anyway. session_user is who logged in: only a superuser can change that. And what makes nothing,
-- because it is there IF NOT EXISTS says so: applications begin with it. Whether it made something is known at its end.
CREATE OR REPLACE FUNCTION godwit.guard_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT godwit.stands() OR godwit.passes() OR EXISTS (SELECT FROM pg_catalog.pg_locks l, pg_catalog.pg_roles r, pg_catalog.pg_namespace n WHERE l.locktype = 'advisory' AND l.granted
			AND l.pid = pg_backend_pid() AND l.classid::bigint = 1735353463
			AND r.rolname = session_user AND n.nspname = 'godwit' AND (r.rolsuper OR r.oid = n.nspowner)) THEN
		RETURN;
	END IF;
	IF TG_EVENT = 'ddl_command_end' THEN
		IF NOT EXISTS (SELECT FROM pg_event_trigger_ddl_commands()) THEN
			RETURN;
		END IF;
	ELSIF TG_TAG IN ('CREATE TABLE', 'CREATE SCHEMA', 'CREATE SEQUENCE', 'CREATE EXTENSION', 'CREATE INDEX')
			AND current_query() ~* 'if\s+not\s+exists' AND current_query() !~* 'concurrently' THEN
		RETURN;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
		MESSAGE = format('godwit: this side of the database is fenced, %s is refused', TG_TAG),
		HINT = 'Its other side holds the truth, or is about to. Before the cutover nothing is to be made here: the definitions come from the source. godwit migrate apply changes them on both sides.';
END $$;

DROP FUNCTION IF EXISTS godwit.raise_fence(boolean);

-- raise_fence refuses writes for good, and lets everybody connect and read.
CREATE OR REPLACE FUNCTION godwit.raise_fence() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM setval('godwit.until', 9223372036854775807);
	UPDATE godwit.fence SET raised = true WHERE NOT raised;
END $$;

-- raise_until refuses writes until a time. What arrives after it does nothing.
CREATE OR REPLACE FUNCTION godwit.raise_until(deadline bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM FROM godwit.fence FOR UPDATE;
	IF godwit.stands() THEN
		RAISE EXCEPTION USING ERRCODE = 'GW002', MESSAGE = 'godwit: this side is fenced already';
	END IF;
	PERFORM godwit.in_time(deadline);
	PERFORM setval('godwit.until', deadline);
	UPDATE godwit.fence SET raised = true;
END $$;

-- in_time fails when a time has passed.
CREATE OR REPLACE FUNCTION godwit.in_time(deadline bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF godwit.now() >= deadline THEN
		RAISE EXCEPTION USING ERRCODE = 'GW001', MESSAGE = 'godwit: the time for this is over';
	END IF;
END $$;

-- decide makes the fence that was raised until deadline one for good, if it stands: true from then on, however often
-- it is asked. First it is made one for good, then the clock is read: who was refused before stays refused.
CREATE OR REPLACE FUNCTION godwit.decide(deadline bigint) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	never  CONSTANT bigint := 9223372036854775807;
	stands bigint;
BEGIN
	PERFORM FROM godwit.fence WHERE raised FOR UPDATE;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	SELECT last_value INTO stands FROM godwit.until;
	IF stands <> deadline THEN
		RETURN stands = never;
	END IF;
	PERFORM setval('godwit.until', never);
	IF godwit.now() < deadline THEN
		RETURN true;
	END IF;
	PERFORM setval('godwit.until', deadline);
	RETURN false;
END $$;

-- close_fence makes new sessions read-only.
CREATE OR REPLACE FUNCTION godwit.close_fence() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE godwit.fence SET closed = true, closed_at = clock_timestamp(), prior_read_only = (
		SELECT split_part(c, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) c
		WHERE s.setrole = 0 AND c LIKE 'default_transaction_read_only=%'
		  AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
	WHERE NOT closed;
	IF FOUND THEN
		EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
	END IF;
END $$;

-- thaw restores what there was before close_fence. Writes are refused as before.
CREATE OR REPLACE FUNCTION godwit.thaw() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	f godwit.fence;
BEGIN
	SELECT * INTO STRICT f FROM godwit.fence FOR UPDATE;
	IF NOT f.closed THEN
		UPDATE godwit.fence SET closed_at = NULL WHERE closed_at IS NOT NULL;
		RETURN;
	END IF;
	IF f.prior_limit <> (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) THEN
		EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT %s', current_database(), f.prior_limit);
	END IF;
	IF f.prior_read_only IS NULL THEN
		EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database());
	ELSE
		EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = %L', current_database(), f.prior_read_only);
	END IF;
	UPDATE godwit.fence SET closed = false, prior_limit = NULL, prior_read_only = NULL;
END $$;

-- lower_fence lets everybody write, and restores what there was before.
CREATE OR REPLACE FUNCTION godwit.lower_fence() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM godwit.thaw();
	UPDATE godwit.fence SET raised = false WHERE raised;
END $$;

-- await_replay waits until a subscription of this side has replayed beyond a position.
CREATE OR REPLACE FUNCTION godwit.await_replay(origin text, marker pg_lsn, deadline bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	LOOP
		PERFORM godwit.in_time(deadline);
		EXIT WHEN pg_replication_origin_progress(origin, false) > marker;
		PERFORM pg_sleep(0.0005);
	END LOOP;
END $$;

-- note_change notes, in the transaction that changes definitions, that it did, and ends the barrier for rows behind it. On
-- the side that rows come from it also marks the place in their stream: the number that it returns arrives on the other
-- side after all rows of before and before all rows of after.
CREATE OR REPLACE FUNCTION godwit.note_change(id text, from_side text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	place bigint;
BEGIN
	IF from_side <> '' THEN
		UPDATE godwit.marker m SET n = m.n + 1 WHERE m.side = from_side RETURNING m.n INTO STRICT place;
	END IF;
	INSERT INTO godwit.state VALUES ('changed', id) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
	DELETE FROM godwit.state WHERE key = 'barrier';
	RETURN place;
END $$;
REVOKE EXECUTE ON FUNCTION godwit.note_change(text, text) FROM PUBLIC;

-- await_change keeps the stream at a place until this side has the definitions that the rows behind it need. Its lock says
-- that everything before the place has arrived. It fails after a while, for a transaction may not see what others commit;
-- the stream begins there again.
CREATE OR REPLACE FUNCTION godwit.await_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	FOR looked IN 0..250 LOOP
		IF NOT EXISTS (SELECT FROM godwit.state s WHERE s.key = 'barrier' AND s.value::bigint <= NEW.n) THEN
			RETURN NEW;
		END IF;
		IF looked = 0 THEN
			PERFORM pg_advisory_xact_lock_shared(1735353464, 1);
		END IF;
		PERFORM pg_sleep(0.02);
	END LOOP;
	RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'godwit: rows wait for a change of definitions';
END $$;

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'godwit.marker'::regclass AND tgname = 'godwit_await') THEN
		CREATE TRIGGER godwit_await BEFORE UPDATE ON godwit.marker FOR EACH ROW EXECUTE FUNCTION godwit.await_change();
		ALTER TABLE godwit.marker ENABLE REPLICA TRIGGER godwit_await;
	END IF;
END $$;

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'godwit_guard') THEN
		CREATE EVENT TRIGGER godwit_guard ON ddl_command_start EXECUTE FUNCTION godwit.guard_ddl();
		ALTER EVENT TRIGGER godwit_guard ENABLE ALWAYS;
	END IF;
	IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'godwit_guard_end') THEN
		CREATE EVENT TRIGGER godwit_guard_end ON ddl_command_end
			WHEN TAG IN ('CREATE TABLE', 'CREATE SCHEMA', 'CREATE SEQUENCE', 'CREATE EXTENSION', 'CREATE INDEX') EXECUTE FUNCTION godwit.guard_ddl();
		ALTER EVENT TRIGGER godwit_guard_end ENABLE ALWAYS;
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	NULL; -- plain Postgres lets only superusers; RDS lets its administrators
END $$;
