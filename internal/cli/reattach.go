package cli

import (
	"context"
	"errors"
	"time"

	"godwit/internal/api"
	"godwit/internal/api/client"
)

// cutOffs is how often a command bears that its engine goes away: one that makes
// every engine end would otherwise be sent for ever.
const cutOffs = 5

// reattached sends a request whose engine went away in the middle of it to the next
// one, which has finished or undone by then what was under way. It is for requests
// that say what is wanted, so that they go on where they were.
func reattached[R any](ctx context.Context, g *globals, c *client.Client, send func() (R, error)) (R, error) {
	result, err := send()
	for range cutOffs {
		if !errors.Is(err, client.ErrCutOff) || ctx.Err() != nil {
			break
		}
		if waited := g.awaitNext(ctx, c); waited != nil {
			return result, errors.Join(err, waited)
		}
		result, err = send()
	}
	return result, err
}

// awaitNext waits for the next engine. It answers when it has settled what the
// last one left.
func (g *globals) awaitNext(ctx context.Context, c *client.Client) error {
	g.view.note("%s %-24s went away in the middle of it; waiting for the next one", g.view.paint(grey, "…"), "engine")
	_, _, err := g.ensureEngine(ctx)
	return err
}

// turn is a cutover or a rollback. When its engine goes away, the next one
// finishes or undoes the switch, and its report is the answer; it is sent again
// only when it had not begun.
func (g *globals) turn(ctx context.Context, c *client.Client, name string,
	send func(context.Context, string, client.Watch) (api.SwitchReport, error), last func(api.Migration) *api.SwitchReport) (api.SwitchReport, error) {
	begun := time.Now()
	sent := false
	return reattached(ctx, g, c, func() (api.SwitchReport, error) {
		if sent {
			m, err := c.MigrationStatus(ctx, name)
			if err != nil {
				return api.SwitchReport{}, err
			}
			if r := last(m); r != nil && r.At.After(begun) {
				return *r, nil
			}
		}
		sent = true
		return send(ctx, name, g.view.watch())
	})
}
