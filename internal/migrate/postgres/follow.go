package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// copyPoll is how often it is looked whether new tables have their rows.
const copyPoll = 20 * time.Millisecond

// Follow lets new tables move like the others: they get guards, are published on both
// sides, their rows are copied, and the roles that touch them may. Called again it does
// what is left.
func (b *Writer) Follow(ctx context.Context, truth string) error {
	follower := other(truth)
	for _, side := range []string{Source, Target} {
		if err := b.guard(ctx, side); err != nil {
			return err
		}
		if _, err := b.write(ctx, side, "DELETE FROM godwit.state WHERE key = "+literal(keyPublished)); err != nil {
			return err
		}
		if err := b.publish(ctx, side); err != nil {
			return err
		}
		if err := b.admit(ctx, side); err != nil {
			return err
		}
	}
	known, err := b.knows(ctx, follower)
	if err != nil {
		return err
	}
	if !known {
		if _, err := b.write(ctx, follower, "ALTER SUBSCRIPTION "+ident(b.subscription())+" REFRESH PUBLICATION WITH (copy_data = true)"); err != nil {
			return err
		}
	}
	if err := b.awaitTables(ctx, follower); err != nil {
		return err
	}
	return b.knowBack(ctx, truth)
}

// knowBack has the way back, which waits for a switch, know the tables of now: it is
// made anew, for one that waits learns nothing.
func (b *Writer) knowBack(ctx context.Context, truth string) error {
	known, err := b.knows(ctx, truth)
	if err != nil || known {
		return err
	}
	if err := b.unsubscribe(ctx, truth); err != nil {
		return err
	}
	return b.subscribe(ctx, truth, false)
}

// admit lets the roles of side touch the tables that are published now.
func (b *Writer) admit(ctx context.Context, side string) error {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	for role, may := range map[string]string{b.applier(): mayApply, b.streamer(): mayRead} {
		there, err := column(ctx, conn, "SELECT rolname::text FROM pg_roles WHERE rolname = $1", role)
		if err != nil || len(there) == 0 {
			if err != nil {
				return b.about(side, err)
			}
			continue // the engine's role itself does it
		}
		rights, err := column(ctx, conn, b.rights(role, may))
		if err != nil {
			return b.about(side, err)
		}
		if _, err := b.write(ctx, side, append(append([]string{"BEGIN", "SET LOCAL client_min_messages = error"}, rights...), "COMMIT")...); err != nil {
			return err
		}
	}
	return nil
}

// knows: the subscription of side has the tables that the other side publishes.
func (b *Writer) knows(ctx context.Context, side string) (bool, error) {
	here, err := b.watcher(ctx, side)
	if err != nil {
		return false, err
	}
	has, err := column(ctx, here, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid
		JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE s.subname = $1 ORDER BY 1`, b.subscription())
	if err != nil {
		return false, b.about(side, err)
	}
	there, err := b.watcher(ctx, other(side))
	if err != nil {
		return false, err
	}
	wants, err := column(ctx, there, "SELECT format('%I.%I', schemaname, tablename) FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1", b.publication())
	slices.Sort(has) // servers sort as they like
	slices.Sort(wants)
	return slices.Equal(has, wants), b.about(other(side), err)
}

// awaitTables waits until all tables of side have their rows.
func (b *Writer) awaitTables(ctx context.Context, side string) error {
	var missing string
	err := until(ctx, copyPoll, func() (bool, error) {
		values, err := b.write(ctx, side, fmt.Sprintf(`SELECT string_agg(r.srrelid::regclass::text, ', ') FROM pg_subscription s
			JOIN pg_subscription_rel r ON r.srsubid = s.oid WHERE s.subname = %s AND r.srsubstate <> 'r'`, literal(b.subscription())))
		if err != nil {
			return false, err
		}
		missing = values[0]
		return missing == "", nil
	})
	if err != nil && missing != "" {
		return fmt.Errorf("waiting for the rows of %s on the %s: %w", strings.TrimSpace(missing), side, err)
	}
	return err
}
