package probe

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"godwit/internal/landscape"
)

// request is a request of the probe, made ready to be drawn. Its path, body and
// header values are templates with the functions
//
//	key          a key that no other request has; the same within one request,
//	             and its header Idempotency-Key too, if it declares no other
//	n            the request's number, from 0
//	rand LO HI   a number from LO to HI
//	rand HI      a number from 1 to HI; {{HI|rand}} where no white space may be
//	pick A B …   one of the strings
type request struct {
	name, method, ledger string
	headers              []header
	path, body           *template.Template
	weight               float64
}

// header is a header's name and the template of its value.
type header struct {
	name  string
	value *template.Template
}

// keyHeader carries the key, so that a server can tell a request sent again from a new one.
const keyHeader = "Idempotency-Key"

// shot is a request as it is sent: the bytes, without the way to the target.
type shot struct {
	n          int64
	request    *request
	key        string
	path, body string
	headers    []string // values, in the order of request.headers
}

// deck draws requests by weight. One goroutine may use it.
type deck struct {
	run      string
	requests []*request
	total    float64
	random   *mathrand.Rand
	n        int64 // of the request being made
}

func newDeck(o Options) (*deck, error) {
	d := &deck{run: o.Run, random: mathrand.New(mathrand.NewPCG(o.Seed, 0x90d1))}
	for _, declared := range o.Probe.Requests {
		r, err := d.compile(declared)
		if err != nil {
			return nil, fmt.Errorf("%w %q: request %q: %w", ErrInvalid, o.Probe.Name, declared.Name, err)
		}
		d.requests = append(d.requests, r)
	}
	if o.WriteShare != nil {
		if err := d.share(*o.WriteShare); err != nil {
			return nil, fmt.Errorf("%w %q: %w", ErrInvalid, o.Probe.Name, err)
		}
	}
	for _, r := range d.requests {
		d.total += r.weight
	}
	if d.total <= 0 {
		return nil, fmt.Errorf("%w %q: no request has a weight", ErrInvalid, o.Probe.Name)
	}
	return d, nil
}

func (d *deck) compile(declared landscape.ProbeRequest) (*request, error) {
	r := &request{
		name: declared.Name, method: declared.Method, ledger: declared.Ledger,
		weight: float64(max(declared.Weight, 0)),
	}
	if r.method == "" {
		r.method = http.MethodGet
	}
	if !plain(r.method) {
		return nil, fmt.Errorf("method %q is not fit to be sent", r.method)
	}
	var err error
	if r.path, err = d.template("path", declared.Path); err != nil {
		return nil, err
	}
	if r.body, err = d.template("body", declared.Body); err != nil {
		return nil, err
	}
	r.headers, err = d.headers(declared.Headers)
	return r, err
}

func (d *deck) headers(declared map[string]string) ([]header, error) {
	var headers []header
	keyed := false
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if !plain(name) || strings.ContainsAny(name, " :") {
			return nil, fmt.Errorf("header %q is not fit to be sent", name)
		}
		value, err := d.template("header", declared[name])
		if err != nil {
			return nil, err
		}
		keyed = keyed || strings.EqualFold(name, keyHeader)
		headers = append(headers, header{name, value})
	}
	if keyed {
		return headers, nil
	}
	value, err := d.template("header", "{{key}}")
	return append(headers, header{keyHeader, value}), err
}

func (d *deck) template(name, text string) (*template.Template, error) {
	return template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"key":  d.key,
		"n":    func() int64 { return d.n },
		"rand": d.rand,
		"pick": func(of ...string) (string, error) {
			if len(of) == 0 {
				return "", fmt.Errorf("pick needs something to pick from")
			}
			return of[d.random.IntN(len(of))], nil
		},
	}).Parse(text)
}

func (d *deck) rand(bounds ...int) (int, error) {
	lo, hi := 1, 0
	switch len(bounds) {
	case 1:
		hi = bounds[0]
	case 2:
		lo, hi = bounds[0], bounds[1]
	}
	if hi < lo || hi-lo < 0 || hi-lo == math.MaxInt {
		return 0, fmt.Errorf("rand %v: needs LO and HI, not below LO, or HI alone", bounds)
	}
	return lo + d.random.IntN(hi-lo+1), nil
}

// share scales the weights so that writes get that share of all requests.
func (d *deck) share(writes float64) error {
	var have [2]float64 // reads, writes
	for _, r := range d.requests {
		have[kind(r)] += r.weight
	}
	for k, want := range [2]float64{1 - writes, writes} {
		if want > 0 && have[k] == 0 {
			return fmt.Errorf("a write share of %v needs reads and writes with a weight; writes have a ledger", writes)
		}
	}
	for _, r := range d.requests {
		if k := kind(r); have[k] > 0 {
			r.weight = r.weight / have[k] * [2]float64{1 - writes, writes}[k]
		}
	}
	return nil
}

func kind(r *request) int {
	if r.ledger == "" {
		return 0
	}
	return 1
}

// key is the key of the request being made.
func (d *deck) key() string { return d.run + "-" + strconv.FormatInt(d.n, 10) }

// draw makes request number n. On error the shot says which request it was.
func (d *deck) draw(n int64) (shot, error) {
	d.n = n
	s := shot{n: n, request: d.pickRequest(), key: d.key()}
	var err error
	if s.path, err = execute(s.request.path); err != nil {
		return s, err
	}
	if s.body, err = execute(s.request.body); err != nil {
		return s, err
	}
	for _, h := range s.request.headers {
		value, err := execute(h.value)
		if err != nil {
			return s, err
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			return s, fmt.Errorf("header %s: %q is not fit to be sent", h.name, value)
		}
		s.headers = append(s.headers, value)
	}
	if !strings.HasPrefix(s.path, "/") || !plain(s.path) || strings.Contains(s.path, " ") {
		return s, fmt.Errorf("path %q is not fit to be sent", s.path)
	}
	return s, nil
}

func execute(t *template.Template) (string, error) {
	var out strings.Builder
	err := t.Execute(&out, nil)
	return out.String(), err
}

func (d *deck) pickRequest() *request {
	at := d.random.Float64() * d.total
	for _, r := range d.requests {
		if at < r.weight {
			return r
		}
		at -= r.weight
	}
	return d.heaviest() // rounding may leave a hair's breadth
}

func (d *deck) heaviest() *request {
	best := d.requests[0]
	for _, r := range d.requests {
		if r.weight > best.weight {
			best = r
		}
	}
	return best
}

// plain says whether text is visible ASCII or spaces, and some.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}

// randomRun is a prefix that no other run has.
func randomRun() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
