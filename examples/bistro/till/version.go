package main

import (
	"math/rand/v2"
	"net/http"

	"godwit/examples/bistro/internal/service"
)

// version is set by the linker: -X main.version=2.
//
//	1  what the data centre runs
//	2  receipts suggest tips
//	3  as 2, but broken: healthy by its own word, it fails 40 % of its requests
var version = "1"

const (
	brokenVersion = "3"
	brokenShare   = 0.4
)

// tips says whether a version suggests tips.
func tips(version string) bool { return version != "1" }

func getVersion(version string) service.Handler {
	features := []string{"orders", "payments", "receipts"}
	if tips(version) {
		features = append(features, "tip suggestions")
	}
	answer := map[string]any{"service": "till", "version": version, "features": features}
	return func(*http.Request) (int, any, error) { return http.StatusOK, answer, nil }
}

// broken fails a share of all requests in the two ways that programs do: half
// of them before anything was done, half after it was done, when the answer is
// lost but the effect is not. Sending the same key again is right in both.
func broken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chance := rand.Float64()
		if chance >= brokenShare {
			next.ServeHTTP(w, r)
			return
		}
		if chance >= brokenShare/2 {
			next.ServeHTTP(lost{http.Header{}}, r)
		}
		http.Error(w, `{"error":"broken on purpose"}`, http.StatusInternalServerError)
	})
}

// lost is an answer that nobody gets.
type lost struct{ header http.Header }

func (l lost) Header() http.Header         { return l.header }
func (l lost) Write(p []byte) (int, error) { return len(p), nil }
func (l lost) WriteHeader(int)             {}
