package tofu

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

// Action is what happens to a resource.
type Action string

const (
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace"
	Destroy Action = "destroy"
	Forget  Action = "forget" // it stays, and is Terraform's no more
	Import  Action = "import"
	Move    Action = "move" // it only gets another address
)

// Change is of one resource.
type Change struct {
	Address string  `json:"address"`
	Type    string  `json:"type,omitempty"`
	Action  Action  `json:"action"`
	Why     string  `json:"why,omitempty"`
	Fields  []Field `json:"fields,omitempty"` // of what changes
	// Kept says of a drift that the plan leaves it: what is declared does not decide it.
	Kept bool `json:"kept,omitempty"`
}

// Field is an attribute that changes. Values are shown only where they are
// short, known, and neither marked nor named as secret.
type Field struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Summary is what a plan would do.
type Summary struct {
	Root    string   `json:"root"`
	Create  []Change `json:"create"`
	Update  []Change `json:"update"`
	Replace []Change `json:"replace"`
	Destroy []Change `json:"destroy"`
	Other   []Change `json:"other"` // forgotten, imported, moved
	Drift   []Change `json:"drift"` // changed outside since the last apply
	Outputs []string `json:"outputs"`
	Empty   bool     `json:"empty"` // nothing would be done
	Note    string   `json:"note,omitempty"`
	Lost    []Lost   `json:"lost,omitempty"`
}

// Lost is what an apply made that was cut off before the state knew of it.
type Lost struct {
	Address string `json:"address"`
	Type    string `json:"type"`
	ID      string `json:"id"`
}

// Changes are all but drift, in the order of a summary.
func (s Summary) Changes() []Change {
	return slices.Concat(s.Create, s.Update, s.Replace, s.Destroy, s.Other)
}

func summarise(root string, p *tfjson.Plan, changes bool) Summary {
	s := Summary{Root: root, Create: []Change{}, Update: []Change{}, Replace: []Change{}, Destroy: []Change{}, Other: []Change{},
		Drift: []Change{}, Outputs: []string{}, Empty: !changes}
	touched, secrets := map[string]bool{}, secretsOf(p)
	for _, rc := range p.ResourceChanges {
		c, ok := changeOf(rc, secrets)
		if !ok || rc.Mode != tfjson.ManagedResourceMode {
			continue
		}
		touched[c.Address] = true
		switch c.Action {
		case Create:
			s.Create = append(s.Create, c)
		case Update:
			s.Update = append(s.Update, c)
		case Replace:
			s.Replace = append(s.Replace, c)
		case Destroy:
			s.Destroy = append(s.Destroy, c)
		default:
			s.Other = append(s.Other, c)
		}
	}
	for _, rc := range p.ResourceDrift {
		if c, ok := changeOf(rc, secrets); ok && c.Action != Move {
			c.Kept = !touched[c.Address]
			c.Why = drifted(c)
			s.Drift = append(s.Drift, c)
		}
	}
	for _, name := range sortedKeys(p.OutputChanges) {
		if o := p.OutputChanges[name]; o != nil && !o.Actions.NoOp() {
			s.Outputs = append(s.Outputs, name)
		}
	}
	return s
}

func drifted(c Change) string {
	switch {
	case c.Action == Destroy && c.Kept:
		return "it is gone"
	case c.Action == Destroy:
		return "it is gone; this plan makes it again"
	case c.Kept:
		return "changed outside; this plan leaves it"
	}
	return "changed outside; this plan changes it back"
}

// changeOf reads a change; false: nothing changes.
func changeOf(rc *tfjson.ResourceChange, hide secrets) (Change, bool) {
	if rc == nil || rc.Change == nil {
		return Change{}, false
	}
	c := Change{Address: rc.Address, Type: rc.Type, Why: reasons[rc.ActionReason]}
	if rc.DeposedKey != "" {
		c.Why = "a remainder of a replacement that was cut off"
	}
	a := rc.Change.Actions
	switch {
	case a.Replace():
		c.Action = Replace
		c.Fields = fieldsOf(rc.Change, hide)
		if forced := forcing(rc.Change.ReplacePaths); forced != "" {
			c.Why = "it cannot be changed in place: " + forced
		}
	case a.Create():
		c.Action = Create
	case a.Update():
		c.Action = Update
		c.Fields = fieldsOf(rc.Change, hide)
	case a.Delete():
		c.Action = Destroy
	case a.Forget():
		c.Action = Forget
	case rc.Change.Importing != nil:
		c.Action = Import
	case rc.PreviousAddress != "" && rc.PreviousAddress != rc.Address:
		c.Action, c.Why = Move, "it was "+rc.PreviousAddress
	default:
		return c, false
	}
	return c, true
}

var reasons = map[tfjson.ActionReason]string{
	tfjson.ActionReasonReplaceBecauseCannotUpdate:    "it cannot be changed in place",
	tfjson.ActionReasonReplaceBecauseTainted:         "it was made only in part",
	tfjson.ActionReasonReplaceByRequest:              "as asked for",
	tfjson.ActionReasonReplaceByTriggers:             "what it depends on is changed",
	tfjson.ActionReasonDeleteBecauseNoResourceConfig: "it is no longer declared",
	tfjson.ActionReasonDeleteBecauseWrongRepetition:  "it is declared in another number",
	tfjson.ActionReasonDeleteBecauseCountIndex:       "fewer of them are declared",
	tfjson.ActionReasonDeleteBecauseEachKey:          "it is no longer declared",
	tfjson.ActionReasonDeleteBecauseNoModule:         "what it belongs to is no longer declared",
	tfjson.ActionReasonDeleteBecauseNoMoveTarget:     "it was moved to where nothing is declared",
}

// actionOf reads an action of the machine-readable log.
func actionOf(s string) Action {
	if s == "delete" || s == "remove" {
		return Destroy
	}
	return Action(s)
}

func forcing(paths []any) string {
	var names []string
	for _, p := range paths {
		steps, ok := p.([]any)
		if !ok || len(steps) == 0 {
			continue
		}
		var parts []string
		for _, step := range steps {
			parts = append(parts, fmt.Sprint(step))
		}
		names = append(names, strings.Join(parts, "."))
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

var signs = map[Action]string{Create: "+", Update: "~", Replace: "±", Destroy: "-", Forget: "o", Import: "<", Move: ">"}

// Text writes a summary for people.
func (s Summary) Text(w io.Writer) error {
	var b strings.Builder
	if s.Note != "" {
		fmt.Fprintf(&b, "%s\n\n", s.Note)
	}
	if len(s.Lost) > 0 {
		b.WriteString("Made by it, and not in the state: this plan would make them a second time. Adopt them first.\n")
		for _, l := range s.Lost {
			fmt.Fprintf(&b, "  ! %s  (id %s)\n", l.Address, l.ID)
		}
		b.WriteByte('\n')
	}
	if len(s.Drift) > 0 {
		fmt.Fprintf(&b, "Changed outside since the last apply:\n")
		for _, c := range s.Drift {
			c.text(&b)
		}
		b.WriteByte('\n')
	}
	for _, c := range s.Changes() {
		c.text(&b)
	}
	if len(s.Outputs) > 0 {
		fmt.Fprintf(&b, "  outputs: %s\n", strings.Join(s.Outputs, ", "))
	}
	if s.Empty {
		fmt.Fprintf(&b, "%s: nothing to do.\n", s.Root)
	} else {
		fmt.Fprintf(&b, "%s: %d to create, %d to update, %d to replace, %d to destroy.\n", s.Root, len(s.Create), len(s.Update), len(s.Replace), len(s.Destroy))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c Change) text(b *strings.Builder) {
	fmt.Fprintf(b, "  %s %s", signs[c.Action], c.Address)
	if c.Why != "" {
		fmt.Fprintf(b, "  (%s)", c.Why)
	}
	b.WriteByte('\n')
	for _, f := range c.Fields {
		if f.Before == "" && f.After == "" {
			fmt.Fprintf(b, "      %s\n", f.Name)
			continue
		}
		fmt.Fprintf(b, "      %s: %s -> %s\n", f.Name, f.Before, f.After)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
