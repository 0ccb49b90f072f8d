package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAdminBody bounds what the admin API reads.
const maxAdminBody = 8 << 20

// admin is the control side as HTTP+JSON on a unix socket that only its owner
// may open.
type admin struct {
	control  *control
	cfg      Config
	shutdown func()
}

func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, struct{}{}, nil) })
	mux.HandleFunc("GET /table", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.control.Table(), nil) })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.control.Stats(), nil) })
	mux.HandleFunc("PUT /pools/{name...}", a.putPool)
	mux.HandleFunc("GET /pools/{name...}", a.getPool)
	mux.HandleFunc("DELETE /pools/{name...}", a.deletePool)
	mux.HandleFunc("PUT /routes", a.putRoutes)
	mux.HandleFunc("DELETE /routes/{host}", a.deleteRoute)
	mux.HandleFunc("PUT /holds/{id...}", a.putHold)
	mux.HandleFunc("GET /holds/{id...}", a.getHold)
	mux.HandleFunc("DELETE /holds/{id...}", a.deleteHold)
	mux.HandleFunc("GET /settled", a.getSettled)
	mux.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		_ = http.NewResponseController(w).Flush() // now: the shutdown does not wait for it
		a.shutdown()
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, errorf(ErrNotFound, "no such call: %s %s", r.Method, r.URL.Path))
	})
	return mux
}

func (a *admin) putPool(w http.ResponseWriter, r *http.Request) {
	var p Pool
	if !decode(w, r, &p) {
		return
	}
	version, err := a.control.SetPool(r.PathValue("name"), p)
	answer(w, Changed{version}, err)
}

// getPool answers with a pool, or, for {name}/idle?release=N, once that release
// has nothing in flight.
func (a *admin) getPool(w http.ResponseWriter, r *http.Request) {
	name, idle := strings.CutSuffix(r.PathValue("name"), "/idle")
	if idle {
		number, err := strconv.Atoi(r.URL.Query().Get("release"))
		if err != nil {
			answer(w, nil, errorf(ErrInvalid, "release %q is not a number", r.URL.Query().Get("release")))
			return
		}
		answer(w, struct{}{}, a.control.Idle(r.Context(), name, number, a.cfg.IdleGrace))
		return
	}
	p, ok := a.control.Table().Pools[name]
	if !ok {
		answer(w, nil, errorf(ErrNotFound, "no pool %q", name))
		return
	}
	answer(w, p, nil)
}

func (a *admin) deletePool(w http.ResponseWriter, r *http.Request) {
	version, err := a.control.DeletePool(r.PathValue("name"))
	answer(w, Changed{version}, err)
}

func (a *admin) putRoutes(w http.ResponseWriter, r *http.Request) {
	var routes map[string]string
	if !decode(w, r, &routes) {
		return
	}
	version, err := a.control.SetRoutes(routes)
	answer(w, Changed{version}, err)
}

func (a *admin) deleteRoute(w http.ResponseWriter, r *http.Request) {
	version, err := a.control.DeleteRoute(r.PathValue("host"))
	answer(w, Changed{version}, err)
}

func (a *admin) putHold(w http.ResponseWriter, r *http.Request) {
	var req HoldRequest
	if !decode(w, r, &req) {
		return
	}
	if req.LeaseMS < 0 || req.LeaseMS > maxLease.Milliseconds() {
		answer(w, nil, errorf(ErrInvalid, "lease of %d ms; it is above 0 and at most %d", req.LeaseMS, maxLease.Milliseconds()))
		return
	}
	if req.GraceMS < 0 || req.GraceMS > maxLease.Milliseconds() {
		answer(w, nil, errorf(ErrInvalid, "grace of %d ms; it is at least 0 and at most %d", req.GraceMS, maxLease.Milliseconds()))
		return
	}
	answer(w, struct{}{}, a.control.Hold(r.PathValue("id"), req))
}

// getHold answers with a hold, or, for {id}/drained, once it is drained.
func (a *admin) getHold(w http.ResponseWriter, r *http.Request) {
	id, drained := strings.CutSuffix(r.PathValue("id"), "/drained")
	if drained {
		grace := a.cfg.HoldGrace
		if h, err := a.control.hold(id); err == nil && h.grace > 0 {
			grace = h.grace
		}
		answer(w, struct{}{}, a.control.Drained(r.Context(), id, grace))
		return
	}
	h, err := a.control.hold(id)
	if err != nil {
		answer(w, nil, err)
		return
	}
	answer(w, h.status(), nil)
}

// getSettled answers once what is in flight on the hosts has ended, or grace is over.
func (a *admin) getSettled(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	ms, err := strconv.ParseInt(query.Get("grace_ms"), 10, 64)
	if err != nil || ms < 0 || ms > maxLease.Milliseconds() {
		answer(w, nil, errorf(ErrInvalid, "grace of %q ms; it is a number, at least 0 and at most %d", query.Get("grace_ms"), maxLease.Milliseconds()))
		return
	}
	left, err := a.control.Settled(r.Context(), query["host"], time.Duration(ms)*time.Millisecond)
	answer(w, Settled{Left: left}, err)
}

func (a *admin) deleteHold(w http.ResponseWriter, r *http.Request) {
	held, err := a.control.Release(r.PathValue("id"))
	answer(w, held, err)
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := decodeStrict(http.MaxBytesReader(w, r.Body, maxAdminBody), into); err != nil {
		answer(w, nil, errorf(ErrInvalid, "body of %s %s: %v; nothing was changed", r.Method, r.URL.Path, err))
		return false
	}
	return true
}

// statuses is the one mapping of errors to HTTP; the client reads it backwards.
var statuses = []struct {
	kind   error
	status int
}{
	{ErrNotFound, http.StatusNotFound},
	{ErrInvalid, http.StatusBadRequest},
	{ErrConflict, http.StatusConflict},
	{ErrExpired, http.StatusGone},
	{ErrSuperseded, http.StatusMisdirectedRequest},
}

// Kind is the error that a status of the admin API means; nil when it means none in particular.
func Kind(status int) error {
	for _, s := range statuses {
		if s.status == status {
			return s.kind
		}
	}
	return nil
}

func answer(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusInternalServerError
		for _, s := range statuses {
			if errors.Is(err, s.kind) {
				status = s.status
				break
			}
		}
		body = Problem{Error: err.Error()}
		if errors.Is(err, ErrSuperseded) {
			w.Header().Set("Connection", "close")
		}
	}
	text, err := json.Marshal(body)
	if err != nil { // a table or a counter that is no JSON: there is none
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	text = append(text, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that left needs no answer
}
