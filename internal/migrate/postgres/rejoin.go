package postgres

import (
	"context"
	"errors"
)

// Rejoin tells the subscription of each side how the other is reached now. Both
// keep what they were made with, and RDS gives its master another password every
// week: the next connection of the stream would be refused. What has not changed
// goes on undisturbed; a side without a subscription is left alone. A worker that has
// heard nothing yet may wait, without end, for a stranger who has the other side's old
// port: it is ended, and Postgres starts another, which reads what is new.
func (b *Writer) Rejoin(ctx context.Context) error {
	return errors.Join(b.rejoin(ctx, Source), b.rejoin(ctx, Target))
}

func (b *Writer) rejoin(ctx context.Context, side string) error {
	exists, err := b.subscribed(ctx, side)
	if err != nil || !exists {
		return err
	}
	info, err := b.linkInfo(ctx, side)
	if err != nil {
		return err
	}
	_, err = b.write(ctx, side, "ALTER SUBSCRIPTION "+ident(b.subscription())+" CONNECTION "+literal(info))
	if err != nil {
		return err
	}
	_, err = b.write(ctx, side, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_subscription WHERE relid IS NULL AND received_lsn IS NULL AND pid IS NOT NULL AND subname = "+literal(b.subscription()))
	return err
}
