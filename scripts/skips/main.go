// Command skips reads the output of go test -json as it comes, prints what a person wants
// to know of it (packages, failures with their output, skips with their
// reason), and fails on a skip that was not expected.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

func main() {
	expectedFile := flag.String("expected", "", "file of expected skips: one PACKAGE TEST a line, followed by \"ordinary\" when only root runs it; # for comments")
	flag.Parse()
	if flag.NArg() != 0 {
		fmt.Fprintln(os.Stderr, "usage: go test -json … | skips [-expected FILE]")
		os.Exit(2)
	}
	expected, err := readExpected(*expectedFile)
	if err == nil {
		err = report(os.Stdin, expected)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func readExpected(name string) (map[string]bool, error) {
	expected := map[string]bool{}
	if name == "" {
		return expected, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		ordinary := len(fields) == 3 && fields[2] == "ordinary" && os.Geteuid() != 0
		if len(fields) == 2 || ordinary {
			expected[fields[0]+" "+fields[1]] = true
		}
	}
	return expected, nil
}

// unended is what a package's tests said that never ended, and the package itself:
// where all stacks are when a test has hung until its time was up. It is forgotten.
func unended(output map[string][]string, name string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(output)) {
		if strings.HasPrefix(key, name+" ") {
			b.WriteString(strings.Join(output[key], ""))
			delete(output, key)
		}
	}
	return b.String()
}

// report prints the run and says what speaks against it.
func report(r io.Reader, expected map[string]bool) error {
	output := map[string][]string{}
	races := map[string]bool{} // packages in the middle of a race's report
	var passed, failed, skipped, unexpected int
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // a compiler's message
			continue
		}
		key := e.Package + " " + e.Test
		switch {
		case e.Action == "output" || e.Action == "build-output":
			// A race is put down to whichever test spoke last: even to one that passes.
			if strings.HasPrefix(e.Output, "WARNING: DATA RACE") {
				races[e.Package] = true
			}
			if races[e.Package] {
				fmt.Print(e.Output)
				races[e.Package] = !strings.HasPrefix(e.Output, "==========")
				continue
			}
			output[key] = append(output[key], e.Output)
			continue
		case e.Test == "" && (e.Action == "pass" || e.Action == "fail"):
			fmt.Printf("%-4s %s %.1fs\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action], e.Package, e.Elapsed)
			if e.Action == "fail" {
				fmt.Print(unended(output, e.Package))
			}
		case e.Action == "pass":
			passed++
		case e.Action == "fail" || e.Action == "build-fail":
			failed++
			fmt.Printf("FAIL %s\n%s", key, strings.Join(output[key], ""))
		case e.Action == "skip" && e.Test != "":
			skipped++
			if !expected[key] {
				unexpected++
				fmt.Printf("SKIP not expected: %s\n%s", key, strings.Join(output[key], ""))
			}
		}
		delete(output, key)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if unexpected > 0 {
		return fmt.Errorf("%d skips that .ci/skips does not expect", unexpected)
	}
	if failed > 0 || passed == 0 {
		return fmt.Errorf("%d tests failed, %d passed", failed, passed)
	}
	return lines.Err()
}
