package cli

import (
	"os"
	"path/filepath"

	"godwit/internal/api/client"
)

// globals are the options of every command.
type globals struct {
	view  *view
	state string
}

// resolve fills in defaults once flags are parsed.
func (g *globals) resolve() error {
	if g.state == "" {
		g.state = os.Getenv("GODWIT_STATE")
	}
	if g.state == "" {
		g.state = defaultState()
	}
	abs, err := filepath.Abs(g.state)
	if err != nil {
		return err
	}
	g.state = abs
	return nil
}

func (g *globals) socket() string { return filepath.Join(g.state, "engine.sock") }

func (g *globals) engine() *client.Client { return client.New(g.socket()) }

// defaultState is where the engine keeps its state: one engine, one landscape.
func defaultState() string {
	if os.Geteuid() == 0 {
		return "/var/lib/godwit"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "godwit")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "godwit")
}
