package postgres

import (
	"context"
	"fmt"
	"strings"

	"godwit/internal/landscape"
)

// localeOf is how the database encodes and sorts texts: encoding; provider and locales;
// and what decides in which order.
const localeOf = `SELECT unnest(ARRAY[pg_encoding_to_char(encoding),
		CASE coalesce(to_jsonb(d)->>'datlocprovider', 'c') WHEN 'i' THEN 'ICU ' WHEN 'b' THEN 'builtin ' ELSE '' END ||
		coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', datcollate || '/' || datctype),
		coalesce(to_jsonb(d)->>'datlocprovider', 'c') || ' ' || coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', datcollate)])
	FROM pg_database d WHERE datname = current_database()`

// textBounds are tables whose partitions are bounded by texts, in the order of the database.
const textBounds = `SELECT c.oid::regclass::text` + relations + ` AND EXISTS (SELECT FROM pg_partitioned_table p JOIN pg_collation l ON l.oid = ANY (p.partcollation)
	WHERE p.partrelid = c.oid AND p.partstrat = 'r' AND l.collname = 'default') ORDER BY 1`

// locales finds what a text is, or means, otherwise on the target.
func (b *Reader) locales(ctx context.Context) (landscape.Findings, error) {
	source, target, err := b.both(ctx, localeOf)
	if err != nil {
		return nil, err
	}
	var all landscape.Findings
	if source[0] != target[0] {
		all = append(all, b.finding(Target, landscape.Error, fmt.Sprintf("encoding is %s, the source's is %s", target[0], source[0]),
			"make the target's database with the source's encoding"))
	}
	if source[1] == target[1] {
		return all, nil
	}
	const mend = "make the target's database with the source's locale and its provider"
	all = append(all, b.finding(Target, landscape.Warning, fmt.Sprintf("collation is %s, the source's is %s: texts may sort differently", target[1], source[1]), mend))
	if order(source[2]) == order(target[2]) {
		return all, nil
	}
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return all, err
	}
	bounded, err := column(ctx, conn, textBounds)
	if len(bounded) > 0 {
		all = append(all, b.finding(Target, landscape.Error, fmt.Sprintf("partitions are bounded by texts, which sort differently here: rows could not be copied into %s", strings.Join(bounded, ", ")),
			mend+`, or bound them in an order that is the same everywhere: PARTITION BY RANGE (… COLLATE "C")`))
	}
	return all, b.about(Source, err)
}

// order is what two locales have in common that sort alike, however they are written:
// C.UTF-8 sorts by code points, which is the order of the bytes.
func order(locale string) string {
	locale = strings.NewReplacer("utf-8", "utf8", "_", "-").Replace(strings.ToLower(locale))
	switch locale {
	case "c posix", "c c.utf8", "b c", "b c.utf8":
		return "c c"
	}
	return locale
}
