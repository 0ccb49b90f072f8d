package probe

import (
	"encoding/json"
	"os"
	"testing"

	"godwit/internal/landscape"
)

// The reference landscape's probe can be drawn, and says what it is meant to say.
func TestBistroProbe(t *testing.T) {
	t.Parallel()
	const name = "../../examples/bistro/landscape.hcl"
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	l, findings := landscape.Parse([]landscape.File{{Name: name, Bytes: file}})
	if len(findings) > 0 {
		t.Fatalf("%+v", findings)
	}
	d, err := newDeck(Options{Probe: l.Probes[0], Run: "run"})
	if err != nil {
		t.Fatal(err)
	}
	writes := 0
	for n := range int64(3000) {
		s, err := d.draw(n)
		if err != nil {
			t.Fatal(err)
		}
		if s.request.ledger != "" {
			writes++
			if !json.Valid([]byte(s.body)) {
				t.Fatalf("%s: %s", s.request.name, s.body)
			}
		}
	}
	if writes < 900 || writes > 1080 {
		t.Errorf("%d of 3000 are writes, not about a third", writes)
	}
}
