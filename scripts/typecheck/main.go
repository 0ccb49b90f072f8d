// Command typecheck reads a program and all that it imports as another system would
// compile it, and says what does not fit: a minute less than compiling it.
package main

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/tools/go/packages"
)

func main() {
	goos := flag.String("goos", "", "the system: darwin")
	flag.Parse()
	if *goos == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: typecheck -goos SYSTEM PACKAGE...")
		os.Exit(2)
	}
	all, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedImports | packages.NeedDeps | packages.NeedSyntax | packages.NeedTypes | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedTypesInfo,
		Env:  append(os.Environ(), "GOOS="+*goos, "CGO_ENABLED=0"),
	}, flag.Args()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if packages.PrintErrors(all) > 0 {
		os.Exit(1)
	}
}
