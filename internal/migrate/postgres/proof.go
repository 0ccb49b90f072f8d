package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Violation is what was committed after a fence position by somebody else.
type Violation struct {
	Commits int
	Tables  []string
}

// Prove reads the log of a fenced side from before the fence and returns what
// other sessions committed after it; nil is the proof that the fence held. It
// may be called until Reverse has begun.
func (b *Writer) Prove(ctx context.Context, from string, p Position) (*Violation, error) {
	fence, err := parseLSN(p.Fence)
	if err != nil {
		return nil, err
	}
	if reversed, err := b.streams(ctx, from); err != nil || reversed {
		return nil, err // Reverse begins only after a proof
	}
	conn, err := b.writer(ctx, from)
	if err != nil {
		return nil, err
	}
	slot, err := column(ctx, conn, "SELECT slot_name FROM pg_replication_slots WHERE slot_name = $1 AND confirmed_flush_lsn <= $2::text::pg_lsn", b.proof(from), p.Fence)
	if err != nil {
		return nil, b.about(from, err)
	}
	if len(slot) == 0 {
		return nil, b.about(from, fmt.Errorf("%w: no slot from before the fence at %s to prove it with", ErrState, p.Fence))
	}
	rows, err := conn.Query(ctx, "SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)",
		b.proof(from), ident(b.publication()))
	if err != nil {
		return nil, b.about(from, err)
	}
	defer rows.Close()
	log := changeLog{fence: fence, marker: p.Xid, relations: map[uint32]string{}, touched: map[string]bool{}}
	for rows.Next() {
		var message []byte
		if err := rows.Scan(&message); err != nil {
			return nil, b.about(from, err)
		}
		log.read(message)
	}
	return log.violation(), b.about(from, rows.Err())
}

// changeLog understands as much of the pgoutput protocol as the proof needs.
type changeLog struct {
	fence     uint64
	marker    string // transaction id of the engine's own commit
	relations map[uint32]string
	touched   map[string]bool
	commits   int
	counting  bool // inside a transaction of somebody else after the fence
}

func (l *changeLog) read(m []byte) {
	switch {
	case len(m) >= 21 && m[0] == 'B': // begin: position of the commit, time, xid
		commit, xid := binary.BigEndian.Uint64(m[1:]), binary.BigEndian.Uint32(m[17:])
		l.counting = commit >= l.fence && !sameXid(l.marker, xid)
		if l.counting {
			l.commits++
		}
	case len(m) > 5 && m[0] == 'R': // relation: id, schema, name
		if parts := strings.SplitN(string(m[5:]), "\x00", 3); len(parts) == 3 {
			l.relations[binary.BigEndian.Uint32(m[1:])] = parts[0] + "." + parts[1]
		}
	case l.counting && len(m) >= 5 && strings.IndexByte("IUD", m[0]) >= 0:
		l.touched[l.relations[binary.BigEndian.Uint32(m[1:])]] = true
	case l.counting && len(m) >= 6 && m[0] == 'T': // truncate: count, options, ids
		for ids := m[6:]; len(ids) >= 4; ids = ids[4:] {
			l.touched[l.relations[binary.BigEndian.Uint32(ids)]] = true
		}
	}
}

func (l *changeLog) violation() *Violation {
	if l.commits == 0 {
		return nil
	}
	v := &Violation{Commits: l.commits}
	for table := range l.touched {
		v.Tables = append(v.Tables, table)
	}
	sort.Strings(v.Tables)
	return v
}

// sameXid compares a 64-bit transaction id, as text, with the 32 bits that the protocol carries.
func sameXid(full string, xid uint32) bool {
	n, err := strconv.ParseUint(full, 10, 64)
	return err == nil && uint32(n) == xid
}

// parseLSN reads a position of the log, "16/B374D848".
func parseLSN(s string) (uint64, error) {
	hi, lo, ok := strings.Cut(s, "/")
	h, err := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if !ok || err != nil || err2 != nil {
		return 0, fmt.Errorf("position %q: want two hexadecimal numbers with a slash between", s)
	}
	return h<<32 | l, nil
}
