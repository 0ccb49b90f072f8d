package pipeline

import (
	"errors"
	"fmt"
	"os"
)

const (
	longestLog = 16 << 20 // of one attempt
	longestEnd = 64 << 10 // what is kept of the end of a longer one
)

// boundedLog keeps the beginning and the end of what is written to it.
type boundedLog struct {
	file *os.File
	left int    // of the beginning
	end  []byte // ring
	more int64  // bytes after the beginning
}

func (l *boundedLog) Write(p []byte) (int, error) {
	n := len(p)
	if head := min(l.left, n); head > 0 {
		if _, err := l.file.Write(p[:head]); err != nil {
			return 0, err
		}
		l.left -= head
		p = p[head:]
	}
	if len(p) > 0 && l.end == nil {
		l.end = make([]byte, longestEnd)
	}
	if skip := len(p) - longestEnd; skip > 0 {
		l.more += int64(skip)
		p = p[skip:]
	}
	for len(p) > 0 {
		at := int(l.more % longestEnd)
		done := copy(l.end[at:], p)
		l.more += int64(done)
		p = p[done:]
	}
	return n, nil
}

// Close writes the end, and says how much is missing before it.
func (l *boundedLog) Close() error {
	var err error
	if at := int(l.more % longestEnd); l.more > longestEnd {
		_, err = fmt.Fprintf(l.file, "\n[godwit left out %d bytes here]\n%s%s", l.more-longestEnd, l.end[at:], l.end[:at])
	} else if l.more > 0 {
		_, err = l.file.Write(l.end[:l.more])
	}
	return errors.Join(err, l.file.Sync(), l.file.Close())
}
