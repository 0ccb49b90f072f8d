package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"godwit/internal/site/local/network"
)

// handler is the control socket's API; Client is its other half.
func (w *warden) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(rw http.ResponseWriter, _ *http.Request) { reply(rw, State{w.Config, w.complete.Load()}, nil) })
	mux.HandleFunc("PUT /complete", func(rw http.ResponseWriter, _ *http.Request) {
		w.complete.Store(true)
		reply(rw, struct{}{}, nil)
	})
	mux.HandleFunc("PUT /instances", func(rw http.ResponseWriter, r *http.Request) {
		var all []Instance
		err := decode(r, &all)
		for _, i := range all {
			if err == nil {
				err = w.put(ctx, i)
			}
		}
		reply(rw, struct{}{}, err)
	})
	mux.HandleFunc("GET /instances", func(rw http.ResponseWriter, _ *http.Request) { reply(rw, w.statuses(), nil) })
	mux.HandleFunc("POST /instances/{id}/stop", func(rw http.ResponseWriter, r *http.Request) {
		k, err := w.find(r.PathValue("id"))
		if err == nil {
			k.end()
		}
		reply(rw, struct{}{}, err)
	})
	mux.HandleFunc("POST /instances/{id}/restart", func(rw http.ResponseWriter, r *http.Request) {
		k, err := w.find(r.PathValue("id"))
		if err == nil {
			k.restart(context.WithoutCancel(r.Context()))
		}
		reply(rw, struct{}{}, err)
	})
	mux.HandleFunc("DELETE /instances/{id}", func(rw http.ResponseWriter, r *http.Request) {
		w.remove(r.PathValue("id"))
		reply(rw, struct{}{}, nil)
	})
	mux.HandleFunc("PUT /rules", func(rw http.ResponseWriter, r *http.Request) {
		var rules network.Rules
		err := decode(r, &rules)
		if err == nil {
			err = w.setRules(rules)
		}
		reply(rw, struct{}{}, err)
	})
	mux.HandleFunc("POST /probes", func(rw http.ResponseWriter, r *http.Request) {
		var probes []Probe
		if err := decode(r, &probes); err != nil {
			reply(rw, nil, err)
			return
		}
		reply(rw, w.probe(r.Context(), probes), nil)
	})
	mux.HandleFunc("GET /links", func(rw http.ResponseWriter, _ *http.Request) {
		all, err := w.everyLink()
		reply(rw, all, err)
	})
	mux.HandleFunc("POST /shutdown", func(rw http.ResponseWriter, _ *http.Request) {
		reply(rw, struct{}{}, nil)
		w.quit()
	})
	return mux
}

func (w *warden) statuses() []Status {
	all := []Status{}
	for _, k := range w.all() {
		all = append(all, k.Status())
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.ID, b.ID) })
	return all
}

func (w *warden) remove(id string) {
	k, err := w.find(id)
	if err != nil {
		return // gone already: what the caller wants
	}
	k.end()
	w.mu.Lock()
	if w.keepers[id] == k {
		delete(w.keepers, id)
	}
	w.mu.Unlock()
	k.removeLogs()
}

// probesAtOnce bounds the threads that sit in other network namespaces.
const probesAtOnce = 16

func (w *warden) probe(ctx context.Context, probes []Probe) []Answer {
	answers := make([]Answer, len(probes))
	var group errgroup.Group
	group.SetLimit(probesAtOnce)
	for i, p := range probes {
		group.Go(func() error {
			outcome, err := w.probeOne(ctx, p)
			answers[i] = Answer{Outcome: outcome}
			if err != nil {
				answers[i].Error = err.Error()
			}
			return nil
		})
	}
	_ = group.Wait()
	return answers
}

// probeOne sends the packets from where p.From is.
func (w *warden) probeOne(ctx context.Context, p Probe) (network.Outcome, error) {
	if p.From == "" || w.Plain {
		return network.Probe(ctx, p.Network, p.To, p.Timeout), nil
	}
	k, err := w.find(p.From)
	if err != nil {
		return "", err
	}
	pid, err := k.pid()
	if err != nil {
		return "", err
	}
	var outcome network.Outcome
	err = network.Within(pid, func() error {
		outcome = network.Probe(ctx, p.Network, p.To, p.Timeout)
		return nil
	})
	return outcome, err
}

// everyLink says which links the router ("") and each running instance have.
func (w *warden) everyLink() (map[string][]string, error) {
	all := map[string][]string{}
	look := func(id string) func() error {
		return func() error {
			links, err := net.Interfaces()
			for _, l := range links {
				all[id] = append(all[id], l.Name)
			}
			return err
		}
	}
	if err := look("")(); err != nil {
		return nil, err
	}
	for _, k := range w.all() {
		pid, err := k.pid()
		if err != nil || w.Plain {
			continue // it does not run, or has no network of its own
		}
		if err := network.Within(pid, look(k.Spec.ID)); err != nil {
			return nil, fmt.Errorf("links of %s: %w", k.Spec.ID, err)
		}
	}
	return all, nil
}

func decode(r *http.Request, to any) error {
	if err := json.NewDecoder(r.Body).Decode(to); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	return nil
}

func reply(rw http.ResponseWriter, body any, err error) {
	rw.Header().Set("Content-Type", "application/json")
	if err != nil {
		rw.WriteHeader(http.StatusUnprocessableEntity)
		body = failure{Error: err.Error(), NoInstance: errors.Is(err, ErrNoInstance)}
	}
	// The client may have left; there is nobody else to tell.
	_ = json.NewEncoder(rw).Encode(body)
}
