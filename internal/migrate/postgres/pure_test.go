package postgres

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNamesFitAndDiffer(t *testing.T) {
	t.Parallel()
	fits := regexp.MustCompile(`^[a-z0-9_]{1,63}$`)
	rapid.Check(t, func(t *rapid.T) {
		one := Pair{Migration: rapid.String().Draw(t, "migration"), Database: rapid.String().Draw(t, "database")}
		two := Pair{Migration: rapid.String().Draw(t, "other migration"), Database: one.Database}
		for _, name := range []string{one.publication(), one.subscription(), one.outgoing(Source), one.outgoing(Target), one.proof(Source), one.name() + "_r"} {
			if !fits.MatchString(name) {
				t.Fatalf("name %q", name)
			}
		}
		if one.outgoing(Source) == one.outgoing(Target) || one.proof(Source) == one.outgoing(Source) {
			t.Fatal("slots share a name")
		}
		if one.Migration != two.Migration && one.name() == two.name() {
			t.Fatalf("%+v and %+v share the name %q", one, two, one.name())
		}
	})
}

func TestPositionIsANote(t *testing.T) {
	t.Parallel()
	p := Position{"0/15289B8", "0/15289F0", "733"}
	if got, err := ParsePosition(p.String()); err != nil || got != p {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "0/1", "a b c d"} {
		if _, err := ParsePosition(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func TestParseLSN(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n")
		if got, err := parseLSN(fmt.Sprintf("%X/%X", n>>32, uint32(n))); err != nil || got != n {
			t.Fatalf("%d, %v", got, err)
		}
	})
	for _, text := range []string{"", "1", "/", "x/1", "1/x", "1/123456789"} {
		if _, err := parseLSN(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

// The log counts exactly the foreign transactions at or after the fence, and
// survives messages cut anywhere.
func TestChangeLogCounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const fence, marker = 1000, 77
		log := changeLog{fence: fence, marker: fmt.Sprint(uint64(3)<<32 | marker), relations: map[uint32]string{}, touched: map[string]bool{}}
		log.read(append(binary.BigEndian.AppendUint32([]byte{'R'}, 5), "public\x00till\x00d"...))
		want := 0
		for range rapid.IntRange(0, 20).Draw(t, "transactions") {
			commit, xid := rapid.Uint64Range(fence-3, fence+3).Draw(t, "commit"), rapid.Uint32Range(75, 79).Draw(t, "xid")
			begin := binary.BigEndian.AppendUint64([]byte{'B'}, commit)
			log.read(binary.BigEndian.AppendUint32(append(begin, make([]byte, 8)...), xid))
			log.read(binary.BigEndian.AppendUint32([]byte{rapid.SampledFrom([]byte("IUD")).Draw(t, "kind")}, 5))
			if commit >= fence && xid != marker {
				want++
			}
			log.read(rapid.SliceOfN(rapid.SampledFrom([]byte("RTOYM\x00")), 0, 12).Draw(t, "noise"))
		}
		v := log.violation()
		if want == 0 && v != nil || want > 0 && (v == nil || v.Commits != want || !log.touched["public.till"]) {
			t.Fatalf("want %d, have %+v", want, v)
		}
	})
}

func TestDiffNamesWhatChanged(t *testing.T) {
	t.Parallel()
	got := diff(map[string]string{"table a": "1", "table b": "1", "table c": "1"}, map[string]string{"table a": "1", "table b": "2", "table d": "1"})
	if fmt.Sprint(got) != "[table b changed table c dropped table d added]" {
		t.Errorf("%v", got)
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint("table ", i)] = ""
	}
	if got := diff(nil, many); len(got) != 21 || got[20] != "and 30 more" {
		t.Errorf("%v", got)
	}
}

func TestWithoutCommands(t *testing.T) {
	t.Parallel()
	got := withoutCommands("\\restrict abc\nCREATE TABLE t ();\nSELECT E'\\n\\restrict';\n\\unrestrict abc\n")
	if got != "CREATE TABLE t ();\nSELECT E'\\n\\restrict';\n" {
		t.Errorf("%q", got)
	}
}

func TestPhases(t *testing.T) {
	t.Parallel()
	half, full := Progress{Tables: 3, Copied: 1}, Progress{Tables: 3, Copied: 3}
	for _, c := range []struct {
		source, target bool
		p              Progress
		phase          Phase
		truth          string
	}{
		{false, false, Progress{}, Idle, Source},
		{false, true, Progress{}, Syncing, Source},
		{false, true, half, Syncing, Source},
		{false, true, full, Synced, Source},
		{true, true, full, Between, ""},
		{true, false, full, Moved, Target},
		{true, false, Progress{}, Finished, Target},
		{false, false, full, Split, Source},
	} {
		if got := phaseOf(c.source, c.target, c.p); got != c.phase {
			t.Errorf("%+v: phase %s", c, got)
		}
		if got := truthOf(c.source, c.target); got != c.truth {
			t.Errorf("%+v: truth %s", c, got)
		}
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{`a`: `'a'`, `it's`: `'it''s'`, `back\slash`: ` E'back\\slash'`} {
		if got := literal(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	if strings.Count(ident(`a"b`), `"`) != 4 {
		t.Error(ident(`a"b`))
	}
}
