package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
)

const maxBody = 64 << 10 // no till sends more

// Refusal is an error that is the client's to mend: it is answered with Status.
type Refusal struct {
	Status int
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

// Refuse makes a Refusal.
func Refuse(status int, format string, args ...any) error {
	return &Refusal{Status: status, Reason: fmt.Sprintf(format, args...)}
}

// Handler answers a request with a status and a value, or an error.
type Handler func(r *http.Request) (status int, answer any, err error)

// JSON answers with what h returns. A Refusal gives its status and reason, any
// other error 503, which says that the same request may be sent again; its cause
// goes to the log only.
func JSON(log *slog.Logger, h Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, answer, err := h(r)
		if err != nil {
			status, answer = failure(log, r, err)
		}
		body, err := json.Marshal(answer)
		if err != nil {
			log.Error("answer", "path", r.URL.Path, "error", err)
			http.Error(w, `{"error":"internal"}`, http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
		w.WriteHeader(status)
		_, _ = w.Write(append(body, '\n')) // a client that left is no concern of ours
	}
}

func failure(log *slog.Logger, r *http.Request, err error) (int, any) {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal.Status, map[string]string{"error": refusal.Reason}
	}
	if r.Context().Err() == nil {
		log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	return http.StatusServiceUnavailable, map[string]string{"error": "temporarily unavailable"}
}

// Decode reads the request's JSON body into v; a Refusal when it is none.
func Decode(r *http.Request, v any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return Refuse(http.StatusBadRequest, "body: %v", err)
	}
	return nil
}

// Key is the request's idempotency key; a Refusal when it has none.
func Key(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" || len(key) > 200 {
		return "", Refuse(http.StatusBadRequest, "header Idempotency-Key must have 1 to 200 characters")
	}
	return key, nil
}

// PathNumber is the path's wildcard of that name as a number of at least 1.
func PathNumber(r *http.Request, name string) (int64, error) {
	return number(name, r.PathValue(name), 1<<62)
}

// Limit is the query's limit, 1 to most; fallback when there is none.
func Limit(r *http.Request, fallback, most int64) (int64, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return fallback, nil
	}
	return number("limit", text, most)
}

func number(name, text string, most int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, Refuse(http.StatusBadRequest, "%s must be a number from 1 to %d", name, most)
	}
	return n, nil
}
