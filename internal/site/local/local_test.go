//go:build linux

package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/door"
	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/local"
	"godwit/internal/site/local/image"
	"godwit/internal/site/local/postgres"
)

func TestMain(m *testing.M) {
	if handled, code := local.Dispatch(os.Args); handled {
		os.Exit(code)
	}
	os.Exit(run(m))
}

// What all tests share: images of the guest, Postgres and its template.
var shared struct {
	dir       string
	images    *image.Store
	good, bad string
	postgres  postgres.Installation
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func prepare(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	shared.dir = dir
	guest, err := os.Getwd()
	if err != nil {
		return err
	}
	guest = filepath.Join(guest, "testdata/guest")
	program := filepath.Join(dir, "guest")
	build := exec.Command("go", "build", "-o", program, ".")
	if prebuilt := os.Getenv("GODWIT_TEST_GUEST"); prebuilt != "" {
		build = exec.Command("cp", prebuilt, program)
		guest = "/"
	}
	build.Dir, build.Env = guest, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guest: %w: %s", err, out)
	}
	if shared.images, err = image.Open(filepath.Join(dir, "images")); err != nil {
		return err
	}
	ctx := context.Background()
	shared.good, err = shared.images.Build(ctx, dir, landscape.Build{Dir: ".", Command: []string{"cp", program, "/proc/self/cwd/../guest"},
		Entrypoint: []string{"/guest"}}, io.Discard)
	if err == nil {
		return errors.New("unreachable")
	}
	for _, v := range []struct {
		digest *string
		entry  []string
	}{{&shared.good, []string{"/guest"}}, {&shared.bad, []string{"/guest", "crash"}}} {
		*v.digest, err = shared.images.Build(ctx, dir, landscape.Build{Dir: ".",
			Command: []string{"sh", "-c", "cp guest $OUT/guest"}, Entrypoint: v.entry}, io.Discard)
		if err != nil {
			return err
		}
	}
	shared.postgres, err = postgres.Find(ctx)
	return err
}
