// Package schema holds the schemas of bistro's databases as SQL that may be run
// again at any time, by the role that is to own the objects. The data centre
// runs it at its first start; nothing else does, because an environment gets
// its schema by the migration. Everybody may import it.
package schema

import _ "embed"

// Till is the schema of database "till": orders, payments, receipts, tickets.
//
//go:embed till.sql
var Till string

// Menu is the schema of database "menu", with its items.
//
//go:embed menu.sql
var Menu string
