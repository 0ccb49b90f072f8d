package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// maxBody bounds a request: a landscape's files and little else.
	maxBody = 64 << 20
	// bodyTimeout bounds how long a client may take to send it.
	bodyTimeout = 10 * time.Second
)

// wholeBody reads a request before anything is done with it: nothing is begun
// for one that is half-written, late or too large, or that admit refuses.
func wholeBody(admit func(context.Context) (func(), error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // where there is none, the reader waits
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			writeFailure(w, unreadable(err))
			return
		}
		_ = control.SetReadDeadline(time.Time{})
		leave, err := admit(r.Context())
		if err != nil {
			writeFailure(w, Fail(Busy, "%v; wait until one of them has ended", err))
			return
		}
		defer leave()
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func unreadable(err error) *Failure {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return Fail(Usage, "the request is larger than %d bytes: is there data among the landscape's files?", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Fail(Usage, "the request was not complete after %s", bodyTimeout)
	}
	return Fail(Usage, "the request ended in the middle: %v", err)
}

func writeFailure(w http.ResponseWriter, f *Failure) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Code.HTTPStatus())
	_ = json.NewEncoder(w).Encode(f) // a client that is gone needs no answer
}
