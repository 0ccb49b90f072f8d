package tofu

import (
	"fmt"
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
	// Kept says of a drift that the plan leaves it: what is declared does not
	// decide it. A plan that only refreshes does not say it of any.
	Kept bool `json:"kept,omitempty"`
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
	Names   []Name   `json:"names,omitempty"` // that are made
	// Protected: something that is there is protected as in a protected environment,
	// whatever is declared now.
	Protected bool `json:"protected,omitempty"`
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

func summarise(root string, p *tfjson.Plan, changes, refreshOnly bool) Summary {
	s := Summary{Root: root, Create: []Change{}, Update: []Change{}, Replace: []Change{}, Destroy: []Change{}, Other: []Change{},
		Drift: []Change{}, Outputs: []string{}, Empty: !changes}
	touched, read := map[string]bool{}, reader{p.Config, secretsOf(p)}
	for _, rc := range p.ResourceChanges {
		s.Protected = s.Protected || protectedBefore(rc)
		c, ok := read.change(rc)
		if !ok || rc.Mode != tfjson.ManagedResourceMode {
			continue
		}
		touched[c.Address] = true
		if n, ok := nameOf(rc, c); ok {
			s.Names = append(s.Names, n)
		}
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
		if c, ok := read.change(rc); ok && c.Action != Move {
			c.Kept = !refreshOnly && !touched[c.Address]
			c.Why = drifted(c, refreshOnly)
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

func drifted(c Change, refreshOnly bool) string {
	switch {
	case c.Action == Destroy && (c.Kept || refreshOnly):
		return "it is gone"
	case c.Action == Destroy:
		return "it is gone; this plan makes it again"
	case refreshOnly:
		return ""
	case c.Kept:
		return "this plan leaves it"
	}
	return "this plan changes it back"
}

// reader of the changes in a plan.
type reader struct {
	config *tfjson.Config
	hide   secrets
}

// change reads a change; false: nothing changes.
func (r reader) change(rc *tfjson.ResourceChange) (Change, bool) {
	if rc == nil || rc.Change == nil {
		return Change{}, false
	}
	c := Change{Address: rc.Address, Type: rc.Type}
	a := rc.Change.Actions
	switch {
	case a.Replace():
		c.Action = Replace
	case a.Create():
		c.Action = Create
	case a.Update():
		c.Action = Update
	case a.Delete():
		c.Action = Destroy
	case a.Forget():
		c.Action = Forget
	case rc.Change.Importing != nil:
		c.Action = Import
	case movedTo(rc):
		c.Action = Move
	default:
		return c, false
	}
	if c.Action == Replace || c.Action == Update {
		c.Fields = fieldsOf(rc.Change, r.hide, configured(r.config, rc))
	}
	c.Why = r.why(rc, c)
	return c, true
}

// why a change is made, and what else happens to the resource.
func (r reader) why(rc *tfjson.ResourceChange, c Change) string {
	var all []string
	forced := forcing(rc.Change.ReplacePaths)
	switch {
	case c.Action == Replace && forced != "":
		all = append(all, "it cannot be changed in place: "+forced)
	case c.Action == Forget:
		all = append(all, "it stays, and Terraform forgets it")
	case rc.DeposedKey != "":
		all = append(all, "a remainder of a replacement that was cut off")
	case reasons[rc.ActionReason] != "":
		all = append(all, reasons[rc.ActionReason])
	case c.Action == Update && len(c.Fields) == 0:
		all = append(all, "no value changes, only what is marked as sensitive")
	}
	if i := rc.Change.Importing; i != nil {
		all = append(all, strings.TrimSuffix("it is imported as "+r.hide.clean(i.ID), " as "))
	}
	if movedTo(rc) {
		all = append(all, "it was "+rc.PreviousAddress)
	}
	return strings.Join(all, "; ")
}

func movedTo(rc *tfjson.ResourceChange) bool {
	return rc.PreviousAddress != "" && rc.PreviousAddress != rc.Address
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

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
