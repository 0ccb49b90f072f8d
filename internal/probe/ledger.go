package probe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// FlushEvery is how often the ledger is handed to the operating system. Whatever
// was acknowledged twice as long ago is in the file even if the probe is killed
// (kill -9); it is on the disk, safe from a loss of power, when Run has returned.
const FlushEvery = 25 * time.Millisecond

// ErrLedger: the ledger could not be written or read.
var ErrLedger = errors.New("ledger")

// record is one line of the file: a write was sent, and later was acknowledged
// or ended otherwise, when nobody knows whether it was done.
type record struct {
	Event   string    `json:"event"` // "sent" | "acked" | "unknown"
	Key     string    `json:"key"`
	At      time.Time `json:"at"`
	Request string    `json:"request,omitempty"` // of sent
	Ledger  string    `json:"ledger,omitempty"`  // of sent
	Class   Class     `json:"class,omitempty"`   // of unknown
}

// ledger is the file being written. One run at a time may write it; further
// runs append, their keys differ. A ledger without a file forgets everything.
type ledger struct {
	file    *os.File
	stop    chan struct{}
	flusher sync.WaitGroup

	mu      sync.Mutex
	buffer  bytes.Buffer
	encoder *json.Encoder
	err     error
	failed  func()
}

func openLedger(path string) (*ledger, error) {
	if path == "" {
		return &ledger{}, nil
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLedger, err)
	}
	if err := cutTorn(file); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrLedger, path, errors.Join(err, file.Close()))
	}
	l := &ledger{file: file, stop: make(chan struct{})}
	l.encoder = json.NewEncoder(&l.buffer)
	l.flusher.Go(l.flushAlways)
	return l, nil
}

// cutTorn removes an unfinished last line, which a kill left.
func cutTorn(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	const most = 64 << 10 // no line is that long
	tail := make([]byte, min(info.Size(), most))
	if _, err := file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	torn := len(tail) - 1 - bytes.LastIndexByte(tail, '\n')
	if torn == 0 {
		return nil
	}
	if int64(torn) == most {
		return errors.New("is not a ledger; name another file")
	}
	return file.Truncate(info.Size() - int64(torn))
}

// onError sets what is called, once, when the ledger can't be written.
func (l *ledger) onError(failed func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = failed
}

func (l *ledger) sent(s shot, at time.Time) {
	l.add(record{Event: "sent", Key: s.key, At: at, Request: s.request.name, Ledger: s.request.ledger})
}

func (l *ledger) ended(key string, class Class, at time.Time) {
	if class == ok {
		l.add(record{Event: "acked", Key: key, At: at})
		return
	}
	l.add(record{Event: "unknown", Key: key, At: at, Class: class})
}

func (l *ledger) add(r record) {
	if l.file == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(l.encoder.Encode(r))
}

// fail remembers the first error and has the load stopped.
func (l *ledger) fail(err error) {
	if err == nil || l.err != nil {
		return
	}
	l.err = fmt.Errorf("%w %s: %w", ErrLedger, l.file.Name(), err)
	if l.failed != nil {
		l.failed()
	}
}

func (l *ledger) flushAlways() {
	tick := time.NewTicker(FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.flush()
		case <-l.stop:
			return
		}
	}
}

func (l *ledger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buffer.Len() == 0 || l.err != nil {
		return
	}
	_, err := l.buffer.WriteTo(l.file)
	l.fail(err)
}

// close writes what is left, down to the disk, and returns the first error of all.
func (l *ledger) close() error {
	if l.file == nil {
		return nil
	}
	close(l.stop)
	l.flusher.Wait()
	l.flush()
	l.fail(l.file.Sync())
	l.fail(l.file.Close())
	return l.err
}

// Entry is a write in the ledger.
type Entry struct {
	Key     string
	Request string
	Ledger  string
	Sent    time.Time
	Acked   time.Time // zero: never acknowledged, it may exist or not
	Class   Class     // why not, if it is known
}

// Acknowledged says whether the write was answered with success.
func (e Entry) Acknowledged() bool { return !e.Acked.IsZero() }

// ReadLedger reads the entries in the order in which they were sent. An
// unfinished last line is left out; anything else that is no record is ErrLedger.
func ReadLedger(r io.Reader) ([]Entry, error) {
	var entries []Entry
	index := map[string]int{}
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrLedger, n, err)
		}
		if entries, err = readRecord(entries, index, line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrLedger, n, err)
		}
	}
}

func readRecord(entries []Entry, index map[string]int, line []byte) ([]Entry, error) {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, err
	}
	i, known := index[r.Key]
	switch {
	case r.Event == "sent" && !known:
		index[r.Key] = len(entries)
		return append(entries, Entry{Key: r.Key, Request: r.Request, Ledger: r.Ledger, Sent: r.At}), nil
	case r.Event == "acked" && known:
		entries[i].Acked = r.At
	case r.Event == "unknown" && known:
		entries[i].Class = r.Class
	default:
		return nil, fmt.Errorf("event %q of key %q is out of place", r.Event, r.Key)
	}
	return entries, nil
}
