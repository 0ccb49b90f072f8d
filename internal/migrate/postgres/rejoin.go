package postgres

import (
	"context"
	"errors"
)

// Rejoin tells the subscription of each side how the other is reached now. Both
// keep what they were made with, and RDS gives its master another password every
// week: the next connection of the stream would be refused. What has not changed
// goes on undisturbed; a side without a subscription is left alone.
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
	return err
}
