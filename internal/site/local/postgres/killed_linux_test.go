package postgres

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"godwit/internal/testtool"
)

// killedDir makes this test binary an engine that is killed while a program of
// Postgres works for it; the directory holds slow ones.
const killedDir = "GODWIT_TEST_KILLED_DIR"

func beKilled(dir string) {
	inst, err := Find(context.Background())
	if err != nil {
		panic(err)
	}
	slow := inst
	slow.Bin = dir
	if err := EnsureTemplate(context.Background(), slow, filepath.Join(dir, "template")); err != nil {
		panic(err)
	}
	usual, err := TemplateDir(inst)
	if err != nil {
		panic(err)
	}
	panic(Prepare(context.Background(), slow, usual, filepath.Join(dir, "data"), settings()))
}

// TestEngineKilled: what a killed engine had started goes on for a while. Its
// successor waits for that, or the one would empty the directory under the
// other, which then misses its postgresql.conf.
func TestEngineKilled(t *testing.T) {
	t.Parallel()
	inst := find(t)
	usual := template(t, inst)
	for _, c := range []struct {
		program string
		place   string // where it works
		again   func(ctx context.Context, dir string) error
	}{
		{"initdb", "template.making", func(ctx context.Context, dir string) error {
			return EnsureTemplate(ctx, inst, filepath.Join(dir, "template"))
		}},
		{"postgres", "data", func(ctx context.Context, dir string) error {
			return Prepare(ctx, inst, usual, filepath.Join(dir, "data"), settings())
		}},
	} {
		t.Run(c.program, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			killWithin(t, inst, dir, c.program)
			mine := filepath.Join(dir, c.place, "mine") // what the program has written so far
			if err := os.WriteFile(mine, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := c.again(short, dir); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it did not wait for the %s of the killed engine: %v", c.program, err)
			}
			if _, err := os.Stat(mine); err != nil {
				t.Errorf("emptied under the %s of the killed engine: %v", c.program, err)
			}
			if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := c.again(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// killWithin starts an engine in dir and kills it while the program works for
// it; the program goes on until there is a file "go".
func killWithin(t *testing.T, inst Installation, dir, slow string) {
	t.Helper()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		script := "#!/bin/sh\nexec " + filepath.Join(inst.Bin, name) + " \"$@\"\n"
		if name == slow {
			script = "#!/bin/sh\n>" + dir + "/working\nwhile [ ! -e " + dir + "/go ]; do sleep 0.01; done\n"
		}
		testtool.Write(t, filepath.Join(dir, name), script)
	}
	engine := exec.Command(os.Args[0])
	engine.Env = append(os.Environ(), killedDir+"="+dir)
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		if _, err := os.Stat(filepath.Join(dir, "working")); err == nil {
			break
		}
	}
	engine.Process.Kill()
	_ = engine.Wait()
	if _, err := os.Stat(filepath.Join(dir, "working")); err != nil {
		t.Fatalf("%s was never started: %v", slow, err)
	}
}
