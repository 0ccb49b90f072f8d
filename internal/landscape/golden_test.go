package landscape_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"godwit/internal/landscape"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestFindings reads every archive of testdata/findings: the landscape files,
// and what is to be found in them, as people see it.
func TestFindings(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/findings/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var files []landscape.File
			var inputs []txtar.File
			want := ""
			for _, f := range archive.Files {
				if f.Name == "findings" {
					want = string(f.Data)
					continue
				}
				inputs = append(inputs, f)
				files = append(files, landscape.File{Name: f.Name, Bytes: f.Data})
			}
			l, found := landscape.Parse(files)
			if (l == nil) != found.HasErrors() {
				t.Errorf("landscape is nil: %v, errors: %v", l == nil, found.HasErrors())
			}
			var got bytes.Buffer
			if err := found.Format(&got, false); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(got.Bytes(), []byte("hunter2")) {
				t.Errorf("a secret is printed:\n%s", got.String())
			}
			if *update {
				archive.Files = append(inputs, txtar.File{Name: "findings", Data: got.Bytes()})
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != want {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
			}
		})
	}
}

func TestParseBistro(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("testdata/parse/bistro.hcl")
	if err != nil {
		t.Fatal(err)
	}
	l, found := landscape.Parse([]landscape.File{{Name: "bistro.hcl", Bytes: source}})
	if len(found) > 0 {
		var b bytes.Buffer
		_ = found.Format(&b, false)
		t.Fatalf("findings:\n%s", b.String())
	}
	got, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const golden = "testdata/parse/bistro.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	var again landscape.Landscape
	if err := json.Unmarshal(got, &again); err != nil {
		t.Fatal(err)
	}
	back, err := json.MarshalIndent(again, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(back, '\n'), got) {
		t.Errorf("the landscape changed on its way through JSON:\n%s", back)
	}
}
