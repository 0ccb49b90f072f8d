package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/site"
	"godwit/internal/site/memory"
)

func (b *bench) lives(environment string) {
	b.Helper()
	b.eventually(environment+" lives again", func() bool { return b.front.Pulse(b.Context(), environment) == nil })
}

// TestHealingWaitsForNobody: an environment that dies is brought back while an
// operation is under way that has no end, and more than once.
func TestHealingWaitsForNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	right := &claim{name: "an operation without end"}
	b.ok(b.claim(t.Context(), right))
	for range 3 {
		b.front.End("production")
		b.lives("production")
		b.front.End("test")
		b.lives("test")
	}
	b.giveBack(right)
	b.serves("production", "till", 1)
}

// TestDiesInRollout lets the environment die at every event of a rollout: it is
// brought back before the operation ends, and that comes to an end by itself.
func TestDiesInRollout(t *testing.T) {
	t.Parallel()
	for image, events := range map[string]int{"good": 18, "bad": 16} {
		for n := 1; n <= events; n++ {
			t.Run(fmt.Sprintf("%s %d", image, n), func(t *testing.T) {
				t.Parallel()
				diesInRollout(t, image, n)
			})
		}
	}
}

func diesInRollout(t *testing.T, image string, n int) {
	b := newBench(t)
	b.removeBlock(`environment "test"`)
	b.up()
	b.load()
	path := b.image(image)
	if image == "bad" {
		b.breaks(path)
	}
	told := 0
	b.events.tell = func(api.Event) {
		if told++; told == n {
			b.front.End("production")
		}
	}
	r := b.deploy("production", path)
	b.events.tell = nil
	if told < n {
		t.Errorf("a rollout of %s has only %d events", image, told)
	}
	b.lives("production")
	want, serving := map[string]string{"good": "done", "bad": "refused"}[image], map[string]int{"good": 2, "bad": 1}[image]
	if r.Outcome != want {
		t.Errorf("%+v, want %s", r, want)
	}
	b.serves("production", "till", serving)
}

// TestSilentEnvironment: what does not answer delays nothing of another, is named,
// and is replaced.
func TestSilentEnvironment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.front.Silence("test")
	s, err := b.Status(t.Context())
	b.ok(err)
	for _, e := range s.Environments {
		if silent := strings.Contains(e.Problem, "does not answer"); silent != (e.Name == "test") {
			t.Errorf("%s: problem %q", e.Name, e.Problem)
		}
	}
	if len(s.Environments) != 2 {
		t.Errorf("%d environments are shown", len(s.Environments))
	}
	if r := b.deploy("production", b.image("v2")); r.Outcome != "done" {
		t.Errorf("%+v", r)
	}
	b.lives("test")
	b.eventually("nothing is held against it", func() bool { return b.healers.of("test").trouble() == nil })
	b.serves("test", "till", 1)
}

// TestCannotBeBroughtBack: status says why, steps fail with that within their
// budget, and it is tried until it succeeds.
func TestCannotBeBroughtBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	broken := errors.New("the disk is gone")
	b.front.SetFail(func(c memory.Call) error {
		if c.Method == "Revive" {
			return broken
		}
		return nil
	})
	b.front.End("production")
	b.eventually("status says why", func() bool {
		s, err := b.Status(t.Context())
		b.ok(err)
		for _, e := range s.Environments {
			if e.Name == "production" {
				return strings.Contains(e.Problem, broken.Error())
			}
		}
		return false
	})
	b.front.SetFail(nil)
	b.lives("production")
	b.serves("production", "till", 1)
}

// TestGatewayHangsBeforeARollout: a deploy waits for the gateway that replaces a hung one.
func TestGatewayHangsBeforeARollout(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	looks := 0
	b.front.SetFail(func(c memory.Call) error {
		if c.Method == "Observe" && c.Environment == "production" {
			if looks++; looks <= 3 {
				return fmt.Errorf("traffic: %w", site.ErrGatewaySilent)
			}
		}
		return nil
	})
	if r := b.deploy("production", b.image("v2")); r.Outcome != "done" {
		t.Errorf("%+v", r)
	}
	if looks <= 3 {
		t.Errorf("it was looked %d times", looks)
	}
}
