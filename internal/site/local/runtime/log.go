//go:build linux

package runtime

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"
)

// logSize bounds one log file. The file before it is kept as FILE.1, so an
// instance uses at most twice as much.
const logSize = 16 << 20

// logFile is what a program says, bounded. Writing never fails: a program must
// not end because a disk is full; what could not be written is lost.
type logFile struct {
	path  string
	limit int64

	mu     sync.Mutex
	file   *os.File
	size   int64
	inLine bool // the last write did not end its line
}

func openLog(path string, limit int64) (*logFile, error) {
	l := &logFile{path: path, limit: limit}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("log: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write stamps every line with its time. However many lines there are, they cost
// one write: a program that floods its log must not keep its warden busy.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stamp := time.Now().UTC().Format(LogTime) + " "
	var text []byte
	for line := range bytes.Lines(p) {
		if int64(len(text)+len(stamp)+len(line))+l.size > l.limit && len(text) > 0 {
			l.write(text) // what still fits; the next one begins a new file
			text = text[:0]
		}
		if !l.inLine {
			text = append(text, stamp...)
		}
		text = append(text, line...)
		l.inLine = line[len(line)-1] != '\n'
	}
	l.write(text)
	return len(p), nil
}

func (l *logFile) write(p []byte) {
	if l.size+int64(len(p)) > l.limit {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
}

func (l *logFile) rotate() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		os.Remove(l.path)
	}
	_ = l.open() // without a file the text is dropped, and the next rotation tries again
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
