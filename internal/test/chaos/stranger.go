package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/migrate"
)

// A stranger writes into a side of the database past the gateway, as a job in the
// data centre does: godwit cannot hold it, only refuse it. What was acknowledged
// must be there in the end, whichever side it was written on; if both sides take
// writes at one moment, one of its rows is lost.
type stranger struct {
	stage *stage
	side  migrate.Side
	acked []string // read it after end
}

const (
	strangerDatabase = "till"
	strangerPace     = 20 * time.Millisecond
	strangerPatience = 3 * time.Second
)

// strangers are one on each side.
type strangers struct {
	all  []*stranger
	stop context.CancelFunc
	done sync.WaitGroup
}

// prepareStrangers makes their table on the source; sync carries it.
func (s *stage) prepareStrangers(ctx context.Context) error {
	conn, err := s.session(ctx, migrate.Source, strangerDatabase)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE public.stranger (key text PRIMARY KEY); ALTER TABLE public.stranger OWNER TO till")
	return err
}

func startStrangers(s *stage) *strangers {
	ctx, stop := context.WithCancel(context.Background())
	all := &strangers{stop: stop}
	for _, side := range []migrate.Side{migrate.Source, migrate.Target} {
		one := &stranger{stage: s, side: side}
		all.all = append(all.all, one)
		all.done.Go(func() { one.write(ctx) })
	}
	return all
}

// end returns every key that was acknowledged.
func (s *strangers) end() []string {
	s.stop()
	s.done.Wait()
	var keys []string
	for _, one := range s.all {
		keys = append(keys, one.acked...)
	}
	return keys
}

func (s *stranger) write(ctx context.Context) {
	var conn *pgx.Conn
	for n := 0; ctx.Err() == nil; n++ {
		sleep(ctx, strangerPace)
		limit, cancel := context.WithTimeout(ctx, strangerPatience)
		if conn == nil || conn.IsClosed() {
			conn, _ = s.stage.session(limit, s.side, strangerDatabase)
		}
		if conn != nil {
			key := fmt.Sprintf("%s-%d", s.side, n)
			if _, err := conn.Exec(limit, "BEGIN READ WRITE; INSERT INTO public.stranger VALUES ('"+key+"'); COMMIT"); err == nil {
				s.acked = append(s.acked, key)
			} else if !conn.IsClosed() {
				conn.Exec(limit, "ROLLBACK")
			}
		}
		cancel()
	}
	if conn != nil {
		conn.Close(context.Background())
	}
}

// lost are the keys that are not there on a side.
func (s *stage) lost(ctx context.Context, side migrate.Side, keys []string) ([]string, error) {
	there, err := s.found(ctx, side, strangerDatabase, "SELECT key, count(*) FROM public.stranger GROUP BY key")
	if err != nil {
		return nil, err
	}
	var lost []string
	for _, key := range keys {
		if there[key] != 1 {
			lost = append(lost, key)
		}
	}
	return lost, nil
}
