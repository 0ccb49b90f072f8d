package gateway

import (
	"bytes"
	"net/http"
	"strings"
)

// framer follows what a client sends: heads, bodies, trailers. It lets pass only
// what has one meaning to everybody (RFC 9112, read strictly): whoever disagrees
// with the next about where a request ends passes on requests that nobody sent.
// net/http, which reads behind it, is milder, and forgets what it was given.
type framer struct {
	state   framing
	left    int64 // bytes of the body, or of the chunk, that are still to come
	seen    int   // bytes of the head that is to come that were looked at
	maxHead int
}

type framing int

const (
	atHead    framing = iota // a head begins
	inBody                   // left bytes of a body
	atChunk                  // the line before a chunk
	inChunk                  // left bytes of a chunk
	chunkEnd                 // the end of line behind a chunk
	inTrailer                // what follows the last chunk
	paused                   // behind a head that asks for another protocol
)

const (
	maxChunkLine = 1 << 10
	maxTrailer   = 16 << 10
)

// feed says how many bytes of b may pass; what is left of b must come again, with
// what follows it. A status says that what is left is refused.
func (f *framer) feed(b []byte) (passed, status int) {
	for passed < len(b) {
		n, status := f.step(b[passed:])
		passed += n
		if status != 0 || n == 0 {
			return passed, status
		}
	}
	return passed, 0
}

func (f *framer) step(b []byte) (n, status int) {
	switch f.state {
	case atHead:
		return f.head(b)
	case inBody, inChunk:
		return f.data(b), 0
	case atChunk:
		return f.chunkLine(b)
	case chunkEnd:
		return f.endOfChunk(b)
	case inTrailer:
		return f.trailer(b)
	}
	return 0, 0
}

func (f *framer) data(b []byte) int {
	n := int(min(f.left, int64(len(b))))
	if f.left -= int64(n); f.left == 0 {
		if f.state == inBody {
			f.state = atHead
		} else {
			f.state = chunkEnd
		}
	}
	return n
}

var endOfHead = []byte("\r\n\r\n")

func (f *framer) head(b []byte) (n, status int) {
	i := bytes.Index(b[max(0, f.seen-len(endOfHead)+1):], endOfHead)
	if i < 0 {
		if len(b) > f.maxHead {
			return 0, http.StatusRequestHeaderFieldsTooLarge
		}
		if bareEnd(b, f.seen) {
			return 0, http.StatusBadRequest
		}
		f.seen = len(b)
		return 0, 0
	}
	n = i + max(0, f.seen-len(endOfHead)+1) + len(endOfHead)
	f.seen = 0
	if n > f.maxHead {
		return 0, http.StatusRequestHeaderFieldsTooLarge
	}
	h, status := readHead(b[:n-2])
	if status != 0 {
		return 0, status
	}
	switch {
	case h.chunked:
		f.state = atChunk
	case h.length > 0:
		f.state, f.left = inBody, h.length
	case h.upgrades():
		f.state = paused
	}
	return n, 0
}

// bareEnd: a line of b, of which seen bytes were looked at, ends without CR.
func bareEnd(b []byte, seen int) bool {
	for i := seen; i < len(b); i++ {
		if b[i] == '\n' && (i == 0 || b[i-1] != '\r') {
			return true
		}
	}
	return false
}

func (f *framer) chunkLine(b []byte) (n, status int) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if len(b) > maxChunkLine {
			return 0, http.StatusBadRequest
		}
		return 0, 0
	}
	if i > maxChunkLine || i == 0 || b[i-1] != '\r' {
		return 0, http.StatusBadRequest
	}
	digits, extension, extended := bytes.Cut(b[:i-1], []byte{';'})
	size, ok := hexadecimal(digits)
	if !ok || extended && !isValue(extension) {
		return 0, http.StatusBadRequest
	}
	f.state, f.left = inChunk, size
	if size == 0 {
		f.state = inTrailer
	}
	return i + 1, 0
}

func hexadecimal(digits []byte) (int64, bool) {
	if len(digits) == 0 || len(digits) > 15 { // more would not fit, or are zeros that nobody needs
		return 0, false
	}
	var n int64
	for _, d := range digits {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d && d <= 'f':
			d -= 'a' - 10
		case 'A' <= d && d <= 'F':
			d -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | int64(d)
	}
	return n, true
}

func (f *framer) endOfChunk(b []byte) (n, status int) {
	if b[0] != '\r' || len(b) > 1 && b[1] != '\n' {
		return 0, http.StatusBadRequest
	}
	if len(b) == 1 {
		return 0, 0
	}
	f.state = atChunk
	return 2, 0
}

func (f *framer) trailer(b []byte) (n, status int) {
	if bytes.HasPrefix(b, endOfHead[:2]) {
		f.state = atHead
		return 2, 0
	}
	i := bytes.Index(b, endOfHead)
	if i < 0 {
		if len(b) > maxTrailer || bareEnd(b, 0) {
			return 0, http.StatusBadRequest
		}
		return 0, 0
	}
	for line := range bytes.SplitSeq(b[:i], endOfHead[:2]) {
		name, _, ok := field(line)
		if !ok || !mayTrail(name) {
			return 0, http.StatusBadRequest
		}
	}
	f.state = atHead
	return i + len(endOfHead), 0
}

// mayTrail: what frames, routes or describes the connection comes before a body.
func mayTrail(name []byte) bool {
	canonical := http.CanonicalHeaderKey(string(name))
	return !hopByHop(canonical) && !ours(canonical) && !disguised(canonical)
}

// resume goes on behind a head whose protocol was not switched.
func (f *framer) resume() {
	if f.state == paused {
		f.state = atHead
	}
}

// head is what a request's head says of its framing.
type head struct {
	minor     byte // of HTTP/1
	hosts     int
	lengths   int
	length    int64
	codings   int
	chunked   bool
	upgrade   bool // an Upgrade header is there
	switching bool // and Connection means it
}

func (h head) upgrades() bool { return h.upgrade && h.switching && h.minor == '1' }

// readHead reads the lines of a head, each with its end of line.
func readHead(b []byte) (h head, status int) {
	first := true
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 1 || b[i-1] != '\r' {
			return h, http.StatusBadRequest
		}
		line := b[:i-1]
		b = b[i+1:]
		if first {
			first = false
			status = h.requestLine(line)
		} else if name, value, ok := field(line); ok {
			status = h.field(name, value)
		} else {
			status = http.StatusBadRequest
		}
		if status != 0 {
			return h, status
		}
	}
	return h, h.judge()
}

func (h *head) judge() int {
	switch {
	case h.hosts > 1, h.hosts == 0 && h.minor == '1':
		return http.StatusBadRequest
	case h.codings > 0 && (h.minor == '0' || h.lengths > 0): // RFC 9112, 6.1
		return http.StatusBadRequest
	}
	return 0
}

func (h *head) requestLine(line []byte) int {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	target, version, ok2 := bytes.Cut(rest, []byte{' '})
	if !ok || !ok2 || !isToken(method) || !isTarget(target) || len(version) != len("HTTP/1.1") || string(version[:5]) != "HTTP/" {
		return http.StatusBadRequest
	}
	if string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0" {
		return http.StatusHTTPVersionNotSupported
	}
	h.minor = version[len(version)-1]
	return 0
}

// field takes a line apart; false if it is none, or continues the one before.
func field(line []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(line, []byte{':'})
	value = bytes.Trim(value, " \t")
	return name, value, ok && isToken(name) && isValue(value)
}

func (h *head) field(name, value []byte) int {
	switch len(name) { // most are none of these
	case len("Host"), len("Content-Length"), len("Transfer-Encoding"), len("Connection"), len("Upgrade"):
	default:
		return 0
	}
	switch {
	case is(name, "Host"):
		if h.hosts++; !isHost(value) {
			return http.StatusBadRequest
		}
	case is(name, "Content-Length"):
		var ok bool
		if h.length, ok = decimal(value); !ok || h.lengths > 0 {
			return http.StatusBadRequest
		}
		h.lengths++
	case is(name, "Transfer-Encoding"):
		return h.coding(value)
	case is(name, "Connection"):
		return h.connection(value)
	case is(name, "Upgrade"):
		h.upgrade = true
	}
	return 0
}

// coding: chunked alone is understood. Of others that end with it nobody can say
// that they are wrong; without it at their end nobody knows where the body ends.
func (h *head) coding(value []byte) int {
	if h.codings++; h.codings > 1 {
		return http.StatusBadRequest
	}
	if is(value, "chunked") {
		h.chunked = true
		return 0
	}
	codings := bytes.Split(value, []byte{','})
	for i, c := range codings {
		c = bytes.Trim(c, " \t")
		if last := i == len(codings)-1; !isToken(c) || is(c, "chunked") != last {
			return http.StatusBadRequest
		}
	}
	return http.StatusNotImplemented
}

// connection: what frames or routes a request cannot be taken out of it on the way.
func (h *head) connection(value []byte) int {
	for option := range bytes.SplitSeq(value, []byte{','}) {
		option = bytes.Trim(option, " \t")
		switch {
		case is(option, "Upgrade"):
			h.switching = true
		case is(option, "Content-Length"), is(option, "Transfer-Encoding"), is(option, "Host"):
			return http.StatusBadRequest
		case len(option) > 0 && !isToken(option):
			return http.StatusBadRequest
		}
	}
	return 0
}

func is(b []byte, name string) bool {
	return len(b) == len(name) && strings.EqualFold(string(b), name)
}

func decimal(digits []byte) (int64, bool) {
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	var n int64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return n, true
}

// The bytes that a token, and a host with a port, are made of.
var tokenBytes, hostBytes = byteSet("!#$%&'*+-.^_`|~"), byteSet("-._~!$&'()*+,;=:[]%")

func byteSet(marks string) (set [256]bool) {
	for b := range set {
		set[b] = '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b < 0x80 && strings.IndexByte(marks, byte(b)) >= 0
	}
	return set
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenBytes[c] {
			return false
		}
	}
	return len(b) > 0
}

func isHost(b []byte) bool {
	for _, c := range b {
		if !hostBytes[c] {
			return false
		}
	}
	return true
}

func isValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func isTarget(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}
