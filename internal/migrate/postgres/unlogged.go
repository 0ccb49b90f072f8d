package postgres

import (
	"context"
	"fmt"
	"strings"

	"godwit/internal/landscape"
)

const findUnlogged = `SELECT c.oid::regclass::text` + relations + ` AND c.relkind = 'r' AND c.relpersistence = 'u' ORDER BY 1`

// unlogged finds tables whose rows are in no log: nothing can carry them. Where it is
// declared that they may be lost, as they are when a server crashes, they move empty.
func (b *Reader) unlogged(ctx context.Context) (landscape.Findings, error) {
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return nil, err
	}
	tables, err := column(ctx, conn, findUnlogged)
	if err != nil || len(tables) == 0 {
		return nil, b.about(Source, err)
	}
	if b.EmptyUnlogged {
		return landscape.Findings{b.finding(Source, landscape.Warning, fmt.Sprintf("%s unlogged and will be empty on the target: %s", count(len(tables), "table is", "tables are"), some(tables, 5)),
			"nothing must be done; what fills them has to do so again after the cutover")}, nil
	}
	script := make([]string, len(tables))
	for i, table := range tables {
		script[i] = "ALTER TABLE " + table + " SET LOGGED;"
	}
	return landscape.Findings{b.finding(Source, landscape.Error, fmt.Sprintf("%s unlogged, and rows of such are not replicated: %s", count(len(tables), "table is", "tables are"), some(tables, 5)),
		fmt.Sprintf("declare unlogged = \"empty\" in migration %q where their rows may be lost; or drop them, or:\n%s", b.Migration, strings.Join(script, "\n")))}, nil
}
