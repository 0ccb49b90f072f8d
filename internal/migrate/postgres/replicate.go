package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// ensureSlot makes a logical slot on side where there is none.
func (b *Writer) ensureSlot(ctx context.Context, side, slot string) error {
	_, err := b.write(ctx, side, fmt.Sprintf(`SELECT pg_create_logical_replication_slot(%s, 'pgoutput')
		WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %[1]s)`, literal(slot)))
	return err
}

// dropSlot drops a slot on side where there is one; who reads from it is ended.
func (b *Writer) dropSlot(ctx context.Context, side, slot string) error {
	drop := fmt.Sprintf("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active", literal(slot))
	look := fmt.Sprintf("SELECT count(*), count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE slot_name = %s", literal(slot))
	return until(ctx, 2*time.Millisecond, func() (bool, error) {
		values, err := b.write(ctx, side, drop, look)
		if err != nil && strings.Contains(err.Error(), "is active for PID") {
			return false, nil
		}
		return err == nil && values[1] == "0", err
	})
}

// freshSlot drops a slot and makes it again, so that it starts now.
func (b *Writer) freshSlot(ctx context.Context, side, slot string) error {
	if err := b.dropSlot(ctx, side, slot); err != nil {
		return err
	}
	return b.ensureSlot(ctx, side, slot)
}

// subscribed: side has its subscription to the other one.
func (b *Reader) subscribed(ctx context.Context, side string) (bool, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return false, err
	}
	exists, err := column(ctx, conn, `SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
		WHERE d.datname = current_database() AND subname = $1`, b.subscription())
	return len(exists) > 0, b.about(side, err)
}

// subscribe makes the subscription on side to the other one. With copy the
// rows that are there are copied first and it streams at once; without, it
// stays disabled, its tables known: it can stream as soon as it is enabled.
//
// While rows are copied, commits wait for the disk: a server that died between
// forgetting that a table is complete and having dropped the slot from which it
// was copied could never complete it.
func (b *Writer) subscribe(ctx context.Context, side string, copyData bool) error {
	exists, err := b.subscribed(ctx, side)
	if err != nil || exists {
		return err
	}
	if err := b.admitPeer(ctx, side); err != nil {
		return err
	}
	info, err := b.linkInfo(ctx, side)
	if err != nil {
		return err
	}
	options := fmt.Sprintf("create_slot = false, slot_name = %s, copy_data = %t, enabled = %[2]t, synchronous_commit = %s",
		literal(b.outgoing(other(side))), copyData, map[bool]string{true: "local", false: "off"}[copyData])
	super, err := b.super(ctx, side)
	if err != nil {
		return err
	}
	var disown []string
	if super { // else its owner is none either, and writes as the owners of the tables
		more, err := b.makeApplier(ctx, side)
		if err != nil {
			return b.about(side, err)
		}
		options, disown = options+more, b.disown()
	}
	create := fmt.Sprintf("CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %s WITH (%s)", ident(b.subscription()), literal(info), ident(b.publication()), options)
	_, err = b.write(ctx, side, append(append([]string{"BEGIN", hush, create}, disown...), "COMMIT")...)
	return err
}

// makeApplier makes the applier of side, and returns the options that a subscription has for it.
func (b *Writer) makeApplier(ctx context.Context, side string) (options string, err error) {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return "", err
	}
	if err := b.makeRole(ctx, conn, b.applier(), "LOGIN", mayApply); err != nil {
		return "", err
	}
	more, err := column(ctx, conn, strings.ReplaceAll(applies, "$1", literal(b.publication())))
	return strings.Join(more, ""), err
}

// admitPeer makes the role as which side will read from the other one.
func (b *Writer) admitPeer(ctx context.Context, side string) error {
	conn, err := b.writer(ctx, other(side))
	if err != nil {
		return err
	}
	return b.about(other(side), b.makeStreamer(ctx, conn, func(password string) error {
		_, err := b.write(ctx, side, "BEGIN", noteState(stateLink, literal(password)), "COMMIT")
		return err
	}))
}

// hasten lets the stream to side no longer wait for the disk at each commit:
// Open does, once, for all before it.
func (b *Writer) hasten(ctx context.Context, side string) error {
	_, err := b.write(ctx, side, "ALTER SUBSCRIPTION "+ident(b.subscription())+" SET (synchronous_commit = off)")
	return err
}

// unsubscribe drops the subscription on side, leaving the slot at the other
// side alone, which may not be reachable.
func (b *Writer) unsubscribe(ctx context.Context, side string) error {
	exists, err := b.subscribed(ctx, side)
	if err != nil || !exists {
		return err
	}
	name := ident(b.subscription())
	_, err = b.write(ctx, side, "BEGIN", "ALTER SUBSCRIPTION "+name+" DISABLE", "ALTER SUBSCRIPTION "+name+" SET (slot_name = NONE)",
		"DROP SUBSCRIPTION "+name, "COMMIT")
	return err
}

// origin is the SQL for the name of the replication origin of a subscription.
func (b *Reader) origin() string {
	return fmt.Sprintf("(SELECT 'pg_' || s.oid FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid "+
		"WHERE d.datname = current_database() AND s.subname = %s)", literal(b.subscription()))
}

// CaughtUp waits until the side opposite of from has replayed everything up
// to and with the marker.
func (b *Writer) CaughtUp(ctx context.Context, from string, p Position) error {
	look := fmt.Sprintf("SELECT pg_replication_origin_progress(%s, false) > %s::pg_lsn", b.origin(), literal(p.Marker))
	err := until(ctx, poll, func() (bool, error) {
		values, err := b.write(ctx, other(from), look)
		return err == nil && values[0] == "t", err
	})
	if err != nil {
		return fmt.Errorf("waiting for the %s to replay %s: %w", other(from), p.Marker, err)
	}
	return nil
}

// roundTrip is how long a row needs from one side to the other: the lag, seen
// as a client would.
func (b *Writer) roundTrip(ctx context.Context, from string) (time.Duration, error) {
	begun := time.Now()
	p, err := b.mark(ctx, from)
	if err != nil {
		return 0, err
	}
	err = b.CaughtUp(ctx, from, p)
	return time.Since(begun), err
}

// smallLag is what a row may need to the other side before a switch begins.
const smallLag = 250 * time.Millisecond

// Prepare does everything that can be done before the hold, so that little is
// left for the write pause: sessions are opened, the streams are warm, slots
// start here, clocks are read. It changes nothing that a client notices but that
// sessions which became read-only on the other side end; Unprepare takes it back.
func (b *Writer) Prepare(ctx context.Context, from string) error {
	to := other(from)
	if err := b.ready(ctx, from); err != nil {
		return err
	}
	if err := b.refresh(ctx); err != nil {
		return err
	}
	if err := b.Thaw(ctx, to); err != nil {
		return err
	}
	var err error
	if b.prepared, err = b.stamp(ctx, from); err != nil {
		return err
	}
	if err := b.Unchanged(ctx, from); err != nil {
		return err
	}
	if b.carry, err = b.carryQueries(ctx, from); err != nil {
		return err
	}
	slots, sctx := errgroup.WithContext(ctx)
	slots.Go(func() error { return b.freshSlot(sctx, from, b.proof(from)) })
	slots.Go(func() error { return b.freshSlot(sctx, to, b.outgoing(to)) })
	if err := slots.Wait(); err != nil {
		return b.blameOldest(ctx, from, err)
	}
	if err := b.warm(ctx, from); err != nil {
		return err
	}
	err = until(ctx, poll, func() (bool, error) {
		lag, err := b.roundTrip(ctx, from)
		return lag < smallLag, err
	})
	return errors.Join(err, b.readClock(ctx, from), b.readClock(ctx, to))
}

// warm does once, without effect, what the write pause does: the first time a
// session does something takes it several times as long.
func (b *Writer) warm(ctx context.Context, from string) error {
	if _, err := b.write(ctx, from, append([]string{"BEGIN", "SELECT godwit.stands()", b.end(from, busy+" AND false"), "SELECT godwit.decide(0)", largeObjects,
		"ROLLBACK"}, b.carry...)...); err != nil {
		return err
	}
	_, err := b.write(ctx, other(from), "BEGIN", "SELECT godwit.lower_fence()", "ROLLBACK")
	return err
}

// ready is ErrState unless from may be written to, to may not, and the stream
// between them is complete. A stream that an undone switch left stopped is started.
func (b *Writer) ready(ctx context.Context, from string) error {
	to := other(from)
	for _, side := range []string{from, to} {
		fenced, err := b.fenced(ctx, side)
		if err != nil {
			return err
		}
		if fenced != (side == to) {
			return b.about(side, fmt.Errorf("%w: fenced is %t; a switch from the %s needs a fence on the %s only", ErrState, fenced, from, to))
		}
	}
	changed, err := b.write(ctx, from, prepared, largeObjects) // without a definition having changed
	if err != nil {
		return err
	}
	if changed[0] != "" {
		return b.about(from, fmt.Errorf("%w: %s; COMMIT PREPARED or ROLLBACK PREPARED it first", ErrPrepared, changed[0]))
	}
	if changed[1] != "0" {
		return b.about(from, b.largeObjects(changed[1]))
	}
	if lost, err := b.lostSlot(ctx, from); err != nil || lost != "" {
		return errors.Join(err, b.about(from, fmt.Errorf("%w: %s", ErrState, lost)))
	}
	values, err := b.write(ctx, to, fmt.Sprintf(`SELECT count(*) FILTER (WHERE r.srsubstate <> 'r') || '/' || count(*)
		FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid WHERE s.subname = %s`, literal(b.subscription())))
	if err != nil {
		return err
	}
	if open, all, _ := strings.Cut(values[0], "/"); open != "0" || all == "0" {
		return b.about(to, fmt.Errorf("%w: %s of %s tables not copied yet; run sync until it is done", ErrState, open, all))
	}
	return b.enable(ctx, to)
}

// Unprepare takes back what Prepare and an undone switch left: from's fence, if
// it only ended by itself, a stream that was stopped, and the slots: they would
// keep the log for ever.
func (b *Writer) Unprepare(ctx context.Context, from string) error {
	return errors.Join(b.Unfence(ctx, from), b.enable(ctx, other(from)),
		b.dropSlot(ctx, from, b.proof(from)), b.dropSlot(ctx, other(from), b.outgoing(other(from))))
}

func (b *Writer) enable(ctx context.Context, side string) error {
	_, err := b.write(ctx, side, "ALTER SUBSCRIPTION "+ident(b.subscription())+" ENABLE")
	return err
}

// CatchUp waits until the side opposite of from has replayed everything up to
// the marker, ends the stream to it, and notes where its log stands: the way back
// starts there. All is one round trip, and nothing is done behind end. It does not
// wait for the disk; Open does. Nothing happens when that side is open already.
func (b *Writer) CatchUp(ctx context.Context, from string, p Position, end time.Time) error {
	to := other(from)
	return b.endStream(ctx, to, p, b.deadline(to, end))
}

func (b *Writer) endStream(ctx context.Context, to string, p Position, deadline int64) error {
	turn := "BEGIN IF godwit.stands() THEN ALTER SUBSCRIPTION " + ident(b.subscription()) + " DISABLE;\n" +
		noteState("turn", "pg_current_wal_insert_lsn()") + ";\nEND IF; END"
	_, err := b.write(ctx, to, "BEGIN", fmt.Sprintf("SELECT godwit.await_replay(%s, %s, %d)", b.origin(), literal(p.Marker), deadline), "COMMIT",
		"BEGIN", "SET LOCAL synchronous_commit = off", "DO "+literal(turn), "COMMIT")
	if err != nil {
		return fmt.Errorf("waiting for the %s to replay %s: %w", to, p.Marker, err)
	}
	return nil
}

// streams says whether the subscription on side is enabled.
func (b *Reader) streams(ctx context.Context, side string) (bool, error) {
	values, err := b.read(ctx, side, fmt.Sprintf("SELECT s.subenabled FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid "+
		"WHERE d.datname = current_database() AND s.subname = %s", literal(b.subscription())))
	return err == nil && values[0] == "t", err
}

// Open carries the sequences and lets clients write on to. From here on it holds
// the truth. Called again once it is open it does nothing. A crash of to may have
// taken back that its stream had ended at p, which did not wait for the disk: then
// that is done again, however long it takes, before anybody writes there.
func (b *Writer) Open(ctx context.Context, to string, p Position, seqs []Sequence) error {
	open := slices.Concat([]string{"DO " + literal(b.hasTurned())}, setSequences(seqs), []string{"SELECT godwit.lower_fence()"})
	_, err := b.write(ctx, to, open...)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != followsCode {
		return err
	}
	if err := b.endStream(ctx, to, p, math.MaxInt64); err != nil {
		return err
	}
	_, err = b.write(ctx, to, open...)
	return err
}

// followsCode is of the error that a fenced side still follows.
const followsCode = "GW003"

// hasTurned is a block that fails where a stream still comes in behind the fence.
func (b *Writer) hasTurned() string {
	return "BEGIN IF godwit.stands() AND EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database() AND s.subenabled AND s.subname = " +
		literal(b.subscription()) + ") THEN RAISE EXCEPTION USING ERRCODE = '" + followsCode + "', MESSAGE = 'godwit: this side still follows the other'; END IF; END"
}

// Reverse starts the stream to→from, from where to stood when it was turned,
// once the one from→to has ended; what is no longer needed on from is dropped.
func (b *Writer) Reverse(ctx context.Context, from string) error {
	to := other(from)
	gone := fmt.Sprintf("SELECT count(*) FROM pg_stat_subscription WHERE subname = %s AND pid IS NOT NULL", literal(b.subscription()))
	err := until(ctx, 2*time.Millisecond, func() (bool, error) {
		values, err := b.write(ctx, to, gone)
		return err == nil && values[0] == "0", err
	})
	if err != nil {
		return err
	}
	turned, err := b.write(ctx, to, "SELECT value FROM godwit.state WHERE key = 'turn'")
	if err != nil {
		return err
	}
	if turned[0] == "" {
		return b.about(to, fmt.Errorf("%w: it was never turned", ErrState))
	}
	enabled, err := b.streams(ctx, from)
	if err != nil {
		return err
	}
	if !enabled {
		_, err = b.write(ctx, from, "BEGIN", fmt.Sprintf("SELECT pg_replication_origin_advance(%s, %s::pg_lsn)", b.origin(), literal(turned[0])),
			"ALTER SUBSCRIPTION "+ident(b.subscription())+" ENABLE", "COMMIT")
		if err != nil {
			return err
		}
	}
	return errors.Join(b.dropSlot(ctx, from, b.outgoing(from)), b.dropSlot(ctx, from, b.proof(from)))
}
