package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// evening has tills send orders and payments at once; send(i) is called for
// each i below n, by so many tills together.
func evening(tills, n int, send func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range tills {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				send(i)
			}
		})
	}
	group.Wait()
}

func TestGaplessUnderConcurrency(t *testing.T) {
	t.Parallel()
	b := newBench(t, "1")
	const n = 600
	evening(16, n, func(i int) {
		if i%2 == 0 {
			b.must(201, "POST", "/orders", fmt.Sprint("o", i),
				fmt.Sprintf(`{"register": %d, "table": %d, "items": [{"sku": "tea", "qty": 1}, {"sku": "soup", "qty": 2}]}`, i%3+1, i%5+1))
			return
		}
		b.must(201, "POST", "/payments", fmt.Sprint("p", i),
			fmt.Sprintf(`{"register": %d, "table": %d, "amount_cents": 100}`, i%3+1, i%5+1))
	})
	if orders, receipts := b.db.Int(t, `SELECT count(*) FROM orders`), b.db.Int(t, `SELECT count(*) FROM receipts`); orders != n/2 || receipts != n/2 {
		t.Errorf("%d orders, %d receipts", orders, receipts)
	}
	// What was ordered was paid once at most, and the money adds up.
	if n := b.db.Int(t, `SELECT (SELECT sum(total_cents) FROM receipts) - (SELECT count(*) * 100 FROM receipts)
		- (SELECT coalesce(sum(total_cents), 0) FROM orders WHERE payment_id IS NOT NULL)`); n != 0 {
		t.Errorf("receipts are off by %d cents", n)
	}
	b.whole()
}

func TestSameKeySameAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, "1")
	for path, body := range map[string]string{
		"/orders":   `{"register": 1, "table": 2, "items": [{"sku": "tea", "qty": 1}, {"sku": "soup", "qty": 3}]}`,
		"/payments": `{"register": 1, "amount_cents": 500}`,
	} {
		for round := range 10 {
			var mu sync.Mutex
			answers := map[string]int{}
			evening(12, 24, func(int) {
				answer := b.must(201, "POST", path, fmt.Sprint("key", round), body)
				mu.Lock()
				defer mu.Unlock()
				answers[answer]++
			})
			if len(answers) != 1 {
				t.Errorf("%s: one key, %d answers: %v", path, len(answers), answers)
			}
		}
	}
	for _, table := range []string{"orders", "outbox", "receipts", "payments"} {
		if n := b.db.Int(t, `SELECT count(*) FROM `+table); n != 10 {
			t.Errorf("10 keys, %d rows in %s", n, table)
		}
	}
	b.whole()
}

// disturb runs what an administrator does, again and again, while load runs.
func disturb(t *testing.T, b *bench, n int, every time.Duration, act func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var administrator sync.WaitGroup
	administrator.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				act()
			case <-ctx.Done():
				return
			}
		}
	})
	evening(12, n, func(i int) {
		if i%2 == 0 {
			b.must(201, "POST", "/orders", fmt.Sprint("o", i), fmt.Sprintf(`{"register": %d, "table": %d, "items": [{"sku": "tea", "qty": 1}]}`, i%4+1, i%9+1))
		} else {
			b.must(201, "POST", "/payments", fmt.Sprint("p", i), fmt.Sprintf(`{"register": %d, "table": %d, "amount_cents": 100}`, i%4+1, i%9+1))
		}
		if i%5 == 0 {
			b.must(200, "GET", fmt.Sprintf("/tables/%d", i%9+1), "", "")
		}
	})
	stop()
	administrator.Wait()
	if n := b.db.Int(t, `SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM receipts)`) - int64(n); n != 0 {
		t.Errorf("%d writes too many", n)
	}
	b.whole()
}

func TestSessionsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, "1")
	var kills atomic.Int64
	disturb(t, b, 1500, 250*time.Millisecond, func() { b.db.EndSessions(t); kills.Add(1) })
	if kills.Load() == 0 {
		t.Error("no session was killed")
	}
}

// What a fence does, lifted again: nobody sees an error, nothing is lost or doubled.
func TestFencedForAMomentUnderLoad(t *testing.T) {
	t.Parallel()
	for name, fence := range map[string][2]string{
		"read-only":  {`ALTER DATABASE {db} SET default_transaction_read_only = on`, `ALTER DATABASE {db} RESET default_transaction_read_only`},
		"no slots":   {`ALTER DATABASE {db} CONNECTION LIMIT 0`, `ALTER DATABASE {db} CONNECTION LIMIT -1`},
		"role limit": {`ALTER ROLE {db} CONNECTION LIMIT 0`, `ALTER ROLE {db} CONNECTION LIMIT -1`},
		"no login":   {`ALTER ROLE {db} NOLOGIN`, `ALTER ROLE {db} LOGIN`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "1")
			fenced := false
			disturb(t, b, 300, 300*time.Millisecond, func() {
				b.db.Exec(t, fence[map[bool]int{false: 0, true: 1}[fenced]])
				b.db.EndSessions(t) // on the way back too: sessions keep the read-only default they were born with
				fenced = !fenced
			})
			if fenced {
				b.db.Exec(t, fence[1])
			}
		})
	}
}
