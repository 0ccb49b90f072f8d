-- What godwit keeps in each side of a moving database. Run as often as wanted.
CREATE SCHEMA IF NOT EXISTS godwit;

CREATE TABLE IF NOT EXISTS godwit.state (key text PRIMARY KEY, value text NOT NULL);

-- Published: a row that arrives on the other side says that all before it has arrived.
CREATE TABLE IF NOT EXISTS godwit.marker (side text PRIMARY KEY, n bigint NOT NULL);

CREATE TABLE IF NOT EXISTS godwit.fence (
	one             boolean PRIMARY KEY DEFAULT true CHECK (one),
	raised          boolean NOT NULL DEFAULT false, -- writes are refused
	closed          boolean NOT NULL DEFAULT false, -- new sessions are read-only, and only superusers may connect
	prior_limit     integer,                        -- what there was before it was closed
	prior_read_only text,                           -- null: not set for the database
	closed_at       timestamptz                     -- sessions younger than this are read-only
);
ALTER TABLE godwit.fence ADD COLUMN IF NOT EXISTS closed_at timestamptz;
INSERT INTO godwit.fence DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Statement triggers fire for every role, and, enabled as ALWAYS, under session_replication_role too. The workers of a
-- subscription fire them only for the initial copy and for TRUNCATE: these are let through.
CREATE OR REPLACE FUNCTION godwit.guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF (SELECT f.raised FROM godwit.fence f) THEN
		IF EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a
		           WHERE a.backend_type OPERATOR(pg_catalog.~~) 'logical replication%') THEN
			RETURN NULL;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
			MESSAGE = 'godwit: this side of the database is fenced, writes are refused',
			HINT = 'Its other side holds the truth, or is about to.';
	END IF;
	RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION godwit.guard_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF (SELECT f.raised FROM godwit.fence f) AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_locks l
		WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted
		  AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
		  AND l.classid::pg_catalog.int8 OPERATOR(pg_catalog.=) 1735353463) THEN
		RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
			MESSAGE = pg_catalog.format('godwit: this side of the database is fenced, %s is refused', TG_TAG);
	END IF;
END $$;

-- raise_fence refuses writes; closing, it also makes new sessions read-only and keeps out all but superusers. Where the
-- engine is no superuser itself it would keep itself out: there nobody is.
CREATE OR REPLACE FUNCTION godwit.raise_fence(closing boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	f godwit.fence;
BEGIN
	SELECT * INTO STRICT f FROM godwit.fence FOR UPDATE;
	IF closing AND NOT f.closed THEN
		UPDATE godwit.fence SET
			closed = true,
			closed_at = clock_timestamp(),
			prior_limit = (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
			prior_read_only = (SELECT split_part(c, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) c
				WHERE s.setrole = 0 AND c LIKE 'default_transaction_read_only=%'
				  AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()));
		IF (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
			EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0', current_database());
		END IF;
		EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
	END IF;
	IF NOT f.raised THEN
		UPDATE godwit.fence SET raised = true;
	END IF;
END $$;

-- lower_fence restores what there was before.
CREATE OR REPLACE FUNCTION godwit.lower_fence() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	f godwit.fence;
BEGIN
	SELECT * INTO STRICT f FROM godwit.fence FOR UPDATE;
	IF f.closed THEN
		IF f.prior_limit <> (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) THEN
			EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT %s', current_database(), f.prior_limit);
		END IF;
		IF f.prior_read_only IS NULL THEN
			EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database());
		ELSE
			EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = %L', current_database(), f.prior_read_only);
		END IF;
	END IF;
	IF f.raised OR f.closed THEN
		UPDATE godwit.fence SET raised = false, closed = false, prior_limit = NULL, prior_read_only = NULL;
	END IF;
END $$;

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'godwit_guard') THEN
		CREATE EVENT TRIGGER godwit_guard ON ddl_command_start EXECUTE FUNCTION godwit.guard_ddl();
		ALTER EVENT TRIGGER godwit_guard ENABLE ALWAYS;
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	NULL; -- plain Postgres lets only superusers; RDS lets its administrators
END $$;
