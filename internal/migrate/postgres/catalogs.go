package postgres

import (
	"slices"
	"strings"
)

// kind is one kind of definitions: a query for (object, sum). Objects have names that
// are the same on both sides; so are the sums of what is the same there, but for rights.
type kind string

// definitions lists every definition that can change what a statement means, or who may
// run it, as (object, md5). TestEveryDefinition asks the server which kinds it has.
var definitions = func() string {
	var all []string
	for _, k := range slices.Concat(relationKinds, codeKinds, operatorKinds, otherKinds, rightKinds) {
		all = append(all, string(k))
	}
	return strings.Join(all, "\nUNION ALL\n")
}()

// named is a kind of objects of a catalog: x is its row. What belongs to an extension
// comes with that, and what has a number below 16384 with the server.
func named(what, catalog, sum, more string) kind {
	return kind(`SELECT '` + what + ` ' || (pg_identify_object('` + catalog + `'::regclass, x.oid, 0)).identity AS object, md5(concat_ws('|', ` + sum + `)) AS sum
	FROM ` + catalog + ` x WHERE x.oid >= 16384 AND ` + notExtension(catalog, "x.oid") + more)
}

// notExtension is a condition: an object belongs to no extension.
func notExtension(catalog, oid string) string {
	return `NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '` + catalog + `'::regclass AND e.objid = ` + oid + ` AND e.deptype = 'e')`
}

// of is a kind of parts of relations: c is the relation, n its schema.
func of(object, sum, from string) kind {
	return kind(`SELECT ` + object + ` AS object, md5(concat_ws('|', ` + sum + `)) AS sum FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace ` + from +
		` AND c.relpersistence <> 't' AND ` + mine)
}

// rights is a kind of rights: whose an object is, and who else may what; of the server's
// and extensions' objects where somebody has said so. Those of godwit's own roles come
// and go. The two sides need not have the same roles.
func rights(what, catalog, owner, acl, letter, more string) kind {
	return kind(`SELECT '` + rightsOf + what + ` ' || (pg_identify_object('` + catalog + `'::regclass, x.oid, 0)).identity,
		md5(concat_ws('|', pg_get_userbyid(` + owner + `), ` + grants(acl, "acldefault('"+letter+"', "+owner+")") + `))
	FROM ` + catalog + ` x WHERE (x.oid >= 16384 AND ` + notExtension(catalog, "x.oid") + ` OR ` + acl + ` IS NOT NULL)` + more)
}

// rightsOf begins the names of rights.
const rightsOf = "rights of "

// grants is an access list as text; without one it is what stands for that.
func grants(acl, without string) string {
	return `(SELECT string_agg(format('%s', g), ',' ORDER BY format('%s', g)) FROM unnest(coalesce(` + acl + `, ` + without + `)) g WHERE NOT starts_with(format('%s', g), 'godwit_'))`
}

// usedRoles are the numbers of the roles, but godwit's, that own something in this database
// or may something there.
const usedRoles = `(SELECT d.refobjid FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid WHERE d.refclassid = 'pg_authid'::regclass
	AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND NOT starts_with(r.rolname, 'godwit_'))`

// hasMeaning is a condition on a setting c of s: it changes what statements mean, not how
// much of a machine they use; and it is not the fence's.
const hasMeaning = `(s.setrole <> 0 OR c NOT LIKE 'default\_transaction\_read\_only=%') AND NOT EXISTS (SELECT FROM pg_settings p WHERE p.name = split_part(c, '=', 1)
	AND p.category NOT LIKE 'Client Connection Defaults%' AND p.category NOT LIKE 'Version and Platform Compatibility%')`

// outside is a condition on a column of x: the schema is neither godwit's nor one of
// temporary or TOAST tables.
func outside(column string) string {
	return ` AND x.` + column + ` NOT IN (SELECT oid FROM pg_namespace WHERE nspname = 'godwit' OR nspname LIKE 'pg\_t%')`
}

// relationKinds are tables, views and sequences, with all that belongs to one.
var relationKinds = []kind{
	of(`'table ' || c.oid::regclass`, `c.relkind, c.relpersistence, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.reloftype::regtype,
		pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), (SELECT amname FROM pg_am WHERE pg_am.oid = c.relam),
		(SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
		(SELECT string_agg(concat(t.tgname, t.tgenabled), ',' ORDER BY t.oid) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgisinternal AND t.tgenabled <> 'O'),
		(SELECT concat_ws('|', f.ftoptions, s.srvname) FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
		(SELECT string_agg(concat_ws(':', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, to_jsonb(a)->>'attgenerated',
			a.attcollation, pg_get_expr(d.adbin, d.adrelid), a.attstorage, to_jsonb(a)->>'attcompression', a.attoptions, a.attfdwoptions,
			nullif(a.attstattarget, -1)), ',' ORDER BY a.attnum)
		 FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)`, `WHERE c.relkind IN ('r', 'p', 'f')`),
	of(`'view ' || c.oid::regclass`, `pg_get_viewdef(c.oid), c.reloptions, (SELECT string_agg(pg_get_expr(d.adbin, d.adrelid), ',' ORDER BY d.adnum) FROM pg_attrdef d WHERE d.adrelid = c.oid)`,
		`WHERE c.relkind IN ('v', 'm')`),
	of(`'index ' || c.oid::regclass`, `pg_get_indexdef(c.oid), i.indisvalid, i.indisreplident, i.indisclustered,
		(SELECT string_agg(a.attstattarget::text, ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid)`, `JOIN pg_index i ON i.indexrelid = c.oid WHERE true`),
	of(`'sequence ' || c.oid::regclass`, `s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcycle, s.seqcache,
		(SELECT string_agg(format('%s.%s', d.refobjid::regclass, d.refobjsubid), ',') FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))`,
		`JOIN pg_sequence s ON s.seqrelid = c.oid WHERE true`),
	of(`'constraint ' || t.conname || ' of ' || c.oid::regclass`, `pg_get_constraintdef(t.oid)`, `JOIN pg_constraint t ON t.conrelid = c.oid WHERE true`),
	of(`'trigger ' || t.tgname || ' of ' || c.oid::regclass`, `pg_get_triggerdef(t.oid), t.tgenabled`,
		`JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal AND t.tgname <> 'godwit_guard'`),
	of(`'policy ' || p.polname || ' of ' || c.oid::regclass`, `p.polcmd, p.polpermissive, pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid),
		(SELECT string_agg(r, ',' ORDER BY r) FROM (SELECT CASE WHEN o = 0 THEN 'public' ELSE pg_get_userbyid(o)::text END FROM unnest(p.polroles) o) v (r))`,
		`JOIN pg_policy p ON p.polrelid = c.oid WHERE true`),
	of(`'rule ' || w.rulename || ' of ' || c.oid::regclass`, `pg_get_ruledef(w.oid), w.ev_enabled`, `JOIN pg_rewrite w ON w.ev_class = c.oid WHERE w.rulename <> '_RETURN'`),
}

// codeKinds are routines and types.
var codeKinds = []kind{
	`SELECT 'function ' || p.oid::regprocedure, md5(concat_ws('|', p.prosrc, p.probin, to_jsonb(p)->>'prosqlbody', p.prokind, p.provolatile, p.prosecdef, p.proconfig,
		p.proisstrict, p.proleakproof, p.proparallel, p.procost, p.prorows, nullif(to_jsonb(p)->>'prosupport', '-'), (SELECT lanname FROM pg_language l WHERE l.oid = p.prolang), pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
		(SELECT concat_ws(',', a.aggkind, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggfinalmodify, a.aggsortop::regoperator,
			a.aggtranstype::regtype, a.aggtransspace, a.agginitval, a.aggminitval) FROM pg_aggregate a WHERE a.aggfnoid = p.oid)))
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE n.nspname NOT IN ('information_schema', 'godwit') AND n.nspname NOT LIKE 'pg\_%'
	  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')`,
	`SELECT 'enum ' || e.enumtypid::regtype, md5(string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder))
	FROM pg_enum e GROUP BY e.enumtypid`,
	// Types of tables come with them, and arrays with their elements.
	named("type", "pg_type", `x.typtype, x.typnotnull, x.typdefault, format_type(x.typbasetype, x.typtypmod), (SELECT concat(collnamespace::regnamespace, '.', collname) FROM pg_collation WHERE oid = x.typcollation), x.typinput, x.typoutput, x.typreceive, x.typsend,
		x.typmodin, x.typmodout, x.typanalyze, x.typalign, x.typstorage, x.typcategory, x.typispreferred, x.typdelim,
		(SELECT string_agg(concat_ws(':', a.attname, format_type(a.atttypid, a.atttypmod), (SELECT concat(collnamespace::regnamespace, '.', collname) FROM pg_collation WHERE oid = a.attcollation)), ',' ORDER BY a.attnum) FROM pg_attribute a
			WHERE a.attrelid = x.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
		(SELECT concat_ws(',', r.rngsubtype::regtype, (SELECT concat(collnamespace::regnamespace, '.', collname) FROM pg_collation WHERE oid = r.rngcollation), (SELECT opcname FROM pg_opclass o WHERE o.oid = r.rngsubopc), r.rngcanonical, r.rngsubdiff)
			FROM pg_range r WHERE r.rngtypid = x.oid),
		(SELECT string_agg(concat_ws(':', k.conname, pg_get_constraintdef(k.oid)), ',' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = x.oid)`,
		` AND NOT (x.typcategory = 'A' AND x.typelem <> 0) AND (x.typrelid = 0 OR (SELECT relkind FROM pg_class WHERE pg_class.oid = x.typrelid) = 'c')`+outside("typnamespace")),
}

// operatorKinds say what operators, casts, sorting and text search do.
var operatorKinds = []kind{
	named("cast", "pg_cast", `nullif(x.castfunc, 0)::regprocedure, x.castcontext, x.castmethod`, ""),
	named("operator", "pg_operator", `x.oprresult::regtype, x.oprcode, x.oprrest, x.oprjoin, nullif(x.oprcom, 0)::regoperator, nullif(x.oprnegate, 0)::regoperator, x.oprcanmerge, x.oprcanhash`, outside("oprnamespace")),
	named("operator class", "pg_opclass", `x.opcdefault, x.opcintype::regtype, nullif(x.opckeytype, 0)::regtype`, outside("opcnamespace")),
	named("operator family", "pg_opfamily", `(SELECT string_agg(concat_ws(':', o.amopstrategy, o.amoppurpose, o.amopopr::regoperator), ',' ORDER BY o.amopopr::regoperator::text, o.amopstrategy) FROM pg_amop o WHERE o.amopfamily = x.oid),
		(SELECT string_agg(concat_ws(':', p.amprocnum, p.amproclefttype::regtype, p.amprocrighttype::regtype, p.amproc::regprocedure), ',' ORDER BY p.amprocnum, p.amproc::regprocedure::text) FROM pg_amproc p WHERE p.amprocfamily = x.oid)`,
		outside("opfnamespace")),
	named("collation", "pg_collation", `x.collprovider, to_jsonb(x)->>'collisdeterministic', to_jsonb(x)->>'collcollate', to_jsonb(x)->>'collctype', to_jsonb(x)->>'colliculocale', to_jsonb(x)->>'colllocale', to_jsonb(x)->>'collicurules', x.collversion`,
		outside("collnamespace")),
	named("conversion", "pg_conversion", `x.conforencoding, x.contoencoding, x.conproc, x.condefault`, outside("connamespace")),
	named("text search configuration", "pg_ts_config", `(SELECT string_agg(concat_ws(':', m.maptokentype, m.mapseqno, m.mapdict::regdictionary), ',' ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = x.oid)`,
		outside("cfgnamespace")),
	named("text search dictionary", "pg_ts_dict", `x.dictinitoption, (SELECT tmplname FROM pg_ts_template t WHERE t.oid = x.dicttemplate)`, outside("dictnamespace")),
	named("text search parser", "pg_ts_parser", `x.prsstart, x.prstoken, x.prsend, x.prsheadline, x.prslextype`, outside("prsnamespace")),
	named("text search template", "pg_ts_template", `x.tmplinit, x.tmpllexize`, outside("tmplnamespace")),
}

// otherKinds are what else a database has.
var otherKinds = []kind{
	named("schema", "pg_namespace", `''`, ` AND x.nspname <> 'godwit' AND x.nspname NOT LIKE 'pg\_%'`),
	named("statistics", "pg_statistic_ext", `pg_get_statisticsobjdef(x.oid), to_jsonb(x)->>'stxstattarget'`, outside("stxnamespace")),
	named("language", "pg_language", `x.lanpltrusted, nullif(x.lanplcallfoid, 0)::regproc`, ""),
	named("transform", "pg_transform", `nullif(x.trffromsql, 0)::regproc, nullif(x.trftosql, 0)::regproc`, ""),
	named("access method", "pg_am", `x.amhandler, x.amtype`, ""),
	named("foreign-data wrapper", "pg_foreign_data_wrapper", `x.fdwoptions, nullif(x.fdwhandler, 0)::regproc, nullif(x.fdwvalidator, 0)::regproc`, ""),
	named("server", "pg_foreign_server", `x.srvtype, x.srvversion, x.srvoptions`, ""),
	named("event trigger", "pg_event_trigger", `x.evtevent, x.evtfoid::regproc, x.evtenabled, x.evttags`, ` AND x.evtname NOT IN ('godwit_guard', 'godwit_guard_end')`),
	named("publication", "pg_publication", `to_jsonb(x) - 'oid' - 'pubowner', (SELECT string_agg(format('%s', t.*), ',' ORDER BY format('%s', t.*)) FROM pg_publication_tables t WHERE t.pubname = x.pubname)`,
		` AND NOT starts_with(x.pubname, 'godwit_')`),
	`SELECT 'extension ' || e.extname, md5(concat_ws('|', e.extversion, e.extnamespace::regnamespace,
		(SELECT count(*) FROM pg_depend d WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'))) FROM pg_extension e`,
	// What they say only a superuser may read, and not everybody who reads this is one.
	`SELECT 'mapping of ' || u.usename || ' on server ' || u.srvname, md5('') FROM pg_user_mappings u`,
	// What an extension's objects are called is its own matter.
	`SELECT 'comment on ' || (pg_identify_object(d.classoid, d.objoid, d.objsubid)).type || ' ' || (pg_identify_object(d.classoid, d.objoid, d.objsubid)).identity, md5(d.description) FROM pg_description d
	WHERE d.objoid >= 16384 AND d.classoid <> 'pg_extension'::regclass AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')`,
	`SELECT 'label of ' || s.objtype || ' ' || s.objname, md5(concat_ws('|', s.provider, s.label)) FROM pg_seclabels s`,
}

// rightKinds say who may what, and with which settings.
var rightKinds = []kind{
	rights("relation", "pg_class", "x.relowner", "x.relacl", "r", ` AND x.relkind IN ('r', 'p', 'v', 'm', 'f') AND x.relpersistence <> 't'`+outside("relnamespace")),
	rights("sequence", "pg_class", "x.relowner", "x.relacl", "s", ` AND x.relkind = 'S' AND x.relpersistence <> 't'`+outside("relnamespace")),
	rights("function", "pg_proc", "x.proowner", "x.proacl", "f", outside("pronamespace")),
	rights("type", "pg_type", "x.typowner", "x.typacl", "T", ` AND NOT (x.typcategory = 'A' AND x.typelem <> 0) AND (x.typrelid = 0 OR (SELECT relkind FROM pg_class WHERE pg_class.oid = x.typrelid) = 'c')`+outside("typnamespace")),
	rights("schema", "pg_namespace", "x.nspowner", "x.nspacl", "n", ` AND x.nspname <> 'godwit' AND x.nspname NOT LIKE 'pg\_%' AND x.nspname <> 'information_schema'`),
	rights("database", "pg_database", "x.datdba", "x.datacl", "d", ` AND x.datname = current_database()`),
	rights("language", "pg_language", "x.lanowner", "x.lanacl", "l", ` AND x.lanispl`),
	of(`'`+rightsOf+`column ' || c.oid::regclass || '.' || a.attname`, grants("a.attacl", "'{}'::aclitem[]"), `JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped WHERE true`),
	kind(`SELECT '` + rightsOf + `what ' || pg_get_userbyid(d.defaclrole) || ' makes' || coalesce(' in schema ' || nullif(d.defaclnamespace, 0)::regnamespace, '') || concat(', ', d.defaclobjtype), md5(` + grants("d.defaclacl", "'{}'::aclitem[]") + `) FROM pg_default_acl d`),
	`SELECT '` + rightsOf + `role ' || r.rolname, md5(concat_ws('|', r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls,
		(SELECT string_agg(pg_get_userbyid(m.roleid)::text, ',' ORDER BY pg_get_userbyid(m.roleid)::text) FROM pg_auth_members m WHERE m.member = r.oid AND NOT starts_with(pg_get_userbyid(m.roleid)::text, 'godwit_'))))
	FROM pg_roles r WHERE r.oid IN ` + usedRoles + ` AND r.oid <> coalesce((SELECT nspowner FROM pg_namespace WHERE nspname = 'godwit'), 0)`,
	`SELECT 'settings' || CASE WHEN s.setrole <> 0 THEN ' of role ' || pg_get_userbyid(s.setrole) ELSE '' END || CASE WHEN s.setdatabase <> 0 THEN ' of the database' ELSE '' END,
		md5((SELECT string_agg(c, E'\n' ORDER BY c) FROM unnest(s.setconfig) c WHERE ` + hasMeaning + `))
	FROM pg_db_role_setting s WHERE (s.setdatabase = 0 AND (s.setrole IN ` + usedRoles + `) OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
	  AND EXISTS (SELECT FROM unnest(s.setconfig) c WHERE ` + hasMeaning + `)`,
}
