// Command godwit moves a running service landscape out of the data centre it
// lives in, without stopping it. The same binary is the CLI and, re-executed
// under a hidden first argument, each of the processes that a site consists of.
package main

import (
	"os"

	"godwit/internal/cli"
	"godwit/internal/engine"
	"godwit/internal/gateway"
	"godwit/internal/site/local"
	"godwit/internal/watch"
)

// processes are the hidden first arguments: the binary re-executes itself as these.
var processes = map[string]func(args []string) int{
	"engine":  engine.Main,
	"gateway": gateway.Main,
	"watch":   watch.Main,
}

func main() {
	if handled, code := local.Dispatch(os.Args); handled {
		os.Exit(code)
	}
	if len(os.Args) > 1 {
		if process, ok := processes[os.Args[1]]; ok {
			os.Exit(process(os.Args[2:]))
		}
	}
	os.Exit(cli.Main(os.Args[1:], engine.Setup))
}
