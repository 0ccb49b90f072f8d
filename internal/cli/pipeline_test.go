package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/pipeline"
)

// TestPipelineExamples: what the help of pipelines names is declared in the example
// that it names.
func TestPipelineExamples(t *testing.T) {
	t.Parallel()
	const example = "examples/bistro"
	looked := 0
	for _, c := range commands() {
		if !strings.HasPrefix(c.CommandPath(), "godwit pipeline") {
			continue
		}
		for line := range strings.Lines(c.Example) {
			words := strings.Fields(line)
			for i, word := range words {
				if word != example {
					continue
				}
				looked++
				if _, err := readPipeline(words[i-1], filepath.Join("..", "..", example)); err != nil {
					t.Errorf("%q: %v", line, err)
				}
			}
		}
	}
	if looked < 4 {
		t.Errorf("only %d examples", looked)
	}
}

// TestPipelineInterruptedWords: Ctrl-C is said once, and without Go's words.
func TestPipelineInterruptedWords(t *testing.T) {
	t.Parallel()
	for _, err := range []error{&pipeline.Interruption{Run: "r", Stage: "test"}, &pipeline.Interruption{Run: "r"}, context.Canceled} {
		text := pipelineFailure(err).Error()
		if strings.Count(text, "interrupted") != 1 || strings.Contains(text, "canceled") {
			t.Errorf("%q", text)
		}
	}
}

// TestDamagedOnce: a run that is damaged on the way is told of once.
func TestDamagedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := `landscape "shop" {}
environment "test" {
  network = "10.10.0.0/16"
}
service "till" {
  image = "./images/till"
  port  = 8080
}
pipeline "p" {
  services = [service.till]
  stage "test" { run = ["true"] }
}
`
	if err := os.WriteFile(filepath.Join(dir, "landscape.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := readPipeline("p", dir)
	if err != nil {
		t.Fatal(err)
	}
	g := &globals{view: newView(io.Discard, io.Discard), state: t.TempDir()}
	r, err := g.runs().Begin(pipeline.Plan{ID: "r", Landscape: d.landscape, Pipeline: d.pipeline, Dir: d.dir, Site: "local"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(g.state, "pipelines", "r", "01-test", "all")
	if err := os.MkdirAll(unit, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unit, "result.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = g.drive(t.Context(), r, pipelineOptions{}, func(ctx context.Context, d pipeline.Drive) error { return r.Drive(ctx, d) })
	if err == nil || strings.Count(err.Error(), "run r is damaged") != 1 {
		t.Errorf("got %v", err)
	}
}

// TestPrunedWords: one run stays, two stay.
func TestPrunedWords(t *testing.T) {
	t.Parallel()
	for want, n := range map[string][2]int{"1 stays, as the newest": {1, 1}, "1 stays": {1, 0}, "2 stay, 1 of them as the newest": {2, 1}} {
		if got := stay(n[0], n[1]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
