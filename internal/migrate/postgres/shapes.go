package postgres

import "godwit/internal/landscape"

// Tables of some shapes cannot follow, or fail on the source itself as soon as they
// are published, or come to mean something else. What godwit cannot move exactly is
// an error before anything is touched.

// withoutEquality finds the types that have no equality (bare): no default operator
// class of a B-tree or a hash, of their own or of what they are made of. By that the apply
// worker finds a row of a table that has no key (replica identity FULL), see
// lookup_type_cache with TYPECACHE_EQ_OPR in typcache.c. Types that are coerced
// without a function (varchar to text) have that of the other.
const withoutEquality = `WITH RECURSIVE own (oid) AS (
		SELECT o.opcintype FROM pg_opclass o JOIN pg_am a ON a.oid = o.opcmethod
		WHERE o.opcdefault AND a.amname IN ('btree', 'hash') AND o.opcintype::regtype::text NOT IN ('anyarray', 'anyenum', 'anyrange', 'anymultirange', 'record')),
	plain (oid) AS (
		SELECT oid FROM own UNION SELECT c.castsource FROM pg_cast c JOIN own ON own.oid = c.casttarget WHERE c.castmethod = 'b' AND c.castcontext = 'i'
		UNION SELECT oid FROM pg_type WHERE typtype IN ('e', 'r', 'm')),
	bare (oid) AS ( -- types without one, and what is made of them
		SELECT t.oid FROM pg_type t WHERE t.typtype = 'b' AND t.typcategory <> 'A' AND t.oid NOT IN (SELECT oid FROM plain)
		UNION
		SELECT t.oid FROM bare b, pg_type t WHERE t.typtype = 'd' AND t.typbasetype = b.oid OR t.typcategory = 'A' AND t.typelem = b.oid
			OR t.typtype = 'c' AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = b.oid)) `

// inherited are the columns of a child of inheritance in the order in which CREATE
// TABLE makes them: those of its parents, then its own. That of the source differs
// where a column was added to a parent later.
const inherited = `WITH parents AS (
		SELECT i.inhrelid, i.inhseqno, p.attname, p.attnum FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND NOT c.relispartition
		JOIN pg_attribute p ON p.attrelid = i.inhparent AND p.attnum > 0 AND NOT p.attisdropped),
	placed AS (SELECT DISTINCT ON (inhrelid, attname) inhrelid, attname, inhseqno, attnum FROM parents ORDER BY inhrelid, attname, inhseqno, attnum),
	made AS (SELECT a.attrelid, a.attname, row_number() OVER w AS have, row_number() OVER (PARTITION BY a.attrelid
			ORDER BY p.inhseqno IS NULL, p.inhseqno, p.attnum, a.attnum) AS want
		FROM pg_attribute a LEFT JOIN placed p ON p.inhrelid = a.attrelid AND p.attname = a.attname
		WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (SELECT inhrelid FROM placed)
		WINDOW w AS (PARTITION BY a.attrelid ORDER BY a.attnum)) `

// keyShapes are the rules about keys. They hold for what is made later too.
var keyShapes = []rule{
	{Source, landscape.Error, `SELECT format('%s (%s)', c.oid::regclass, i.indexrelid::regclass) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_index i ON i.indrelid = c.oid AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
		WHERE ` + mine + ` AND c.relkind = 'r' AND c.relpersistence = 'p' AND NOT (i.indimmediate AND i.indisvalid) ORDER BY 1`,
		"the key of table %s is deferrable or invalid: updates and deletes would fail here as soon as the table is published",
		"drop the constraint and add it again without DEFERRABLE, REINDEX an invalid one, or, for small tables, ALTER TABLE … REPLICA IDENTITY FULL"},
	{Source, landscape.Error, withoutEquality + `SELECT DISTINCT format('%s.%s, %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod)) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		JOIN bare b ON b.oid = a.atttypid WHERE ` + mine + ` AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.relreplident = 'f' ORDER BY 1`,
		"table with REPLICA IDENTITY FULL has %s, a type without equality: the target could not find the rows that are updated or deleted",
		"give the table a primary key, or a unique index over NOT NULL columns and REPLICA IDENTITY USING INDEX"},
}

// shapes are the rules about what has them already when the move begins.
var shapes = []rule{
	{Source, landscape.Error, inherited + `SELECT DISTINCT attrelid::regclass::text FROM made WHERE have <> want ORDER BY 1`,
		"table %s inherits columns that its parent got later: the target would have its columns in another order, and SELECT * or INSERT without column names would change their meaning",
		"create the table again with its columns in the order of its parents, or take it out of inheritance (ALTER TABLE … NO INHERIT)"},
	{Source, landscape.Error, `SELECT format('%s.%s, %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid
		WHERE ` + mine + ` AND c.relkind = 'r' AND c.relpersistence = 'p' AND (t.oid IN ('regrole'::regtype, 'aclitem'::regtype) OR t.typelem IN ('regrole'::regtype, 'aclitem'::regtype)) ORDER BY 1`,
		"column %s, names roles of this server: rows with one that the target lacks could not be copied", "ALTER COLUMN … TYPE text"},
	{Source, landscape.Warning, `SELECT format('%s.%s, %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE ` + mine + ` AND c.relkind = 'r' AND c.relpersistence = 'p' AND a.atttypid IN ('regclass'::regtype, 'regproc'::regtype, 'regprocedure'::regtype, 'regoper'::regtype,
			'regoperator'::regtype, 'regtype'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype, 'regnamespace'::regtype, to_regtype('regcollation')) ORDER BY 1`,
		"column %s, names objects of this database: rows with one that does not move, or is of a search_path, could not be copied", "ALTER COLUMN … TYPE text, unless all of them move"},
	{Source, landscape.Error, `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE ` + mine + ` AND c.relrowsecurity AND NOT c.relforcerowsecurity AND EXISTS (SELECT FROM aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
			WHERE a.grantee <> c.relowner AND (a.grantee = 0 OR NOT r.rolsuper AND NOT r.rolbypassrls AND NOT starts_with(r.rolname, 'godwit_'))) ORDER BY 1`,
		"row security of table %s binds others than its owner, and on the target services log in as the owner: it would bind nobody there",
		"ALTER TABLE … FORCE ROW LEVEL SECURITY, which binds the owner too; or REVOKE the others' rights if nobody uses them"},
	{Source, landscape.Error, `SELECT format('%s of %s', t.conname, c.oid::regclass) FROM pg_constraint t JOIN pg_class c ON c.oid = t.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE ` + mine + ` AND t.contype = 'c' AND NOT t.convalidated ORDER BY 1`,
		"constraint %s is NOT VALID: rows that violate it could not be copied", "ALTER TABLE … VALIDATE CONSTRAINT, which names such a row, or drop the constraint"},
	{Source, landscape.Warning, `SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database() AND NOT starts_with(slot_name, 'godwit_')
		AND NOT starts_with(slot_name, 'pg_') ORDER BY 1`,
		"somebody reads changes from replication slot %s: what is written after the cutover will not come there",
		"on the day connect that consumer to the target: make its publication and slot there before the first write"},
}
