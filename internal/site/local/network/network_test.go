package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func endpoint(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", n)), 80)
}

func TestSpread(t *testing.T) {
	t.Parallel()
	a, b, c := endpoint(1), endpoint(2), endpoint(3)
	cases := map[string]struct {
		groups  [][]netip.AddrPort
		weights []int
		want    []netip.AddrPort
	}{
		"nobody":         {nil, nil, nil},
		"no weight":      {[][]netip.AddrPort{{a}}, []int{0}, nil},
		"no endpoints":   {[][]netip.AddrPort{{}, {b}}, []int{90, 10}, []netip.AddrPort{b}},
		"one":            {[][]netip.AddrPort{{a}}, []int{100}, []netip.AddrPort{a}},
		"even in group":  {[][]netip.AddrPort{{a, b}}, []int{7}, []netip.AddrPort{a, b}},
		"three to one":   {[][]netip.AddrPort{{a}, {b}}, []int{90, 30}, []netip.AddrPort{a, a, b, a}},
		"uneven groups":  {[][]netip.AddrPort{{a, b}, {c}}, []int{50, 50}, []netip.AddrPort{c, a, b, c}},
		"negative weigh": {[][]netip.AddrPort{{a}, {b}}, []int{-5, 1}, []netip.AddrPort{b}},
	}
	for name, c := range cases {
		if got := Spread(c.groups, c.weights); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestSpreadShares: every group with weight gets about its share, and the list stays small.
func TestSpreadShares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var groups [][]netip.AddrPort
		var weights []int
		total, next := 0, 1
		for range rapid.IntRange(1, 4).Draw(t, "groups") {
			var g []netip.AddrPort
			for range rapid.IntRange(1, 6).Draw(t, "size") {
				g = append(g, endpoint(next))
				next++
			}
			w := rapid.IntRange(0, 100).Draw(t, "weight")
			groups, weights, total = append(groups, g), append(weights, w), total+w
		}
		slots := Spread(groups, weights)
		if total == 0 {
			if slots != nil {
				t.Fatalf("no weight, yet %v", slots)
			}
			return
		}
		if len(slots) > 2*maxSlots {
			t.Fatalf("%d slots", len(slots))
		}
		for i, g := range groups {
			count := 0
			for _, s := range slots {
				if slices.Contains(g, s) {
					count++
				}
			}
			got, want := float64(count)/float64(len(slots)), float64(weights[i])/float64(total)
			if got-want > 0.02 || want-got > 0.02 || (weights[i] > 0) != (count > 0) {
				t.Fatalf("group %d has %.3f of the slots, want %.3f", i, got, want)
			}
		}
	})
}

func TestOnly(t *testing.T) {
	t.Parallel()
	r := Rules{Virtuals: []Virtual{{Address: endpoint(9), Endpoints: []netip.AddrPort{endpoint(1), endpoint(2), endpoint(1)}}}}
	got := r.Only(func(e netip.AddrPort) bool { return e == endpoint(1) })
	if want := []netip.AddrPort{endpoint(1), endpoint(1)}; !slices.Equal(got.Virtuals[0].Endpoints, want) {
		t.Errorf("%v, want %v", got.Virtuals[0].Endpoints, want)
	}
	if len(r.Virtuals[0].Endpoints) != 3 {
		t.Error("the rules themselves changed")
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]Outcome{nil: Open, syscall.ECONNREFUSED: Refused, syscall.ECONNRESET: Refused,
		syscall.EHOSTUNREACH: Unreachable, syscall.ENETUNREACH: Unreachable, os.ErrDeadlineExceeded: Timeout,
		errors.New("anything else"): Unreachable} {
		if got := outcome(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}
