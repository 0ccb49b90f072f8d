package landscape

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a stage gets when it does not say.
const (
	standardStage    = 30 * time.Minute
	standardApproval = 24 * time.Hour
	standardValid    = 24 * time.Hour
	mostApprovals    = 9
	longestStage     = 7 * 24 * time.Hour
	standardLoad     = 10 * time.Second
	standardLoadRate = 20
)

// actions are what a stage can do, each by the attribute that says so.
var actions = []string{"run", "build", "bake", "deploy", "probe", "approve"}

// belongs says which further attributes an action takes.
var belongs = map[string][]string{"run": {"dir", "each"}, "probe": {"environment", "duration", "rate"},
	"approve": {"approvals", "four_eyes", "valid"}}

// pipeline reads a pipeline.
func (r *reader) pipeline(b *body) {
	r.declare(b)
	p := Pipeline{Name: b.name, Services: b.refs("services", kindService)}
	seen := map[Ref]bool{}
	for _, c := range b.children() {
		r.innerName(b, c, seen)
		p.Stages = append(p.Stages, c.stage())
	}
	if len(p.Stages) == 0 && !r.partial {
		r.add(b.at, Error, b.title+" has no stage", `add a block stage "build" { build = true }`)
	}
	r.checkOrder(b, p)
	r.landscape.Pipelines = append(r.landscape.Pipelines, p)
}

// stage reads a stage and checks that it does exactly one thing.
func (b *body) stage() Stage {
	s := Stage{Name: b.name, Build: b.boolean("build"), Bake: b.boolean("bake"), Deploy: b.ref("deploy", kindEnvironment)}
	s.Approve, _ = b.text("approve", "")
	action := b.oneAction()
	standard := standardStage
	switch action {
	case "run":
		s.Run = b.run()
	case "probe":
		s.Probe = b.stageProbe()
	case "approve":
		standard = standardApproval
		s.Approvals, _ = b.number("approvals", 1, 1, mostApprovals)
		s.FourEyes = b.boolean("four_eyes")
		s.Valid = b.duration("valid", standardValid, longestStage)
	case "build", "bake":
		if at, off := b.switchedOff(action); off {
			b.add(at, Error, b.title+" does nothing", fmt.Sprintf("write %s = true, or remove the stage", action))
		}
	}
	b.onlyOf(action)
	s.Timeout = b.duration("timeout", standard, longestStage)
	return s
}

func (b *body) switchedOff(action string) (place, bool) {
	e, at, _ := b.expr(action)
	on, ok := asBool(e)
	return at, ok && !on
}

// oneAction is the stage's only action; "" with a finding when it has none or several.
func (b *body) oneAction() string {
	var given []string
	for _, name := range actions {
		if b.Attributes[name] != nil {
			given = append(given, name)
		}
	}
	switch {
	case len(given) == 1:
		return given[0]
	case len(given) > 1:
		b.add(b.at, Error, fmt.Sprintf("%s does several things: %s", b.title, strings.Join(given, ", ")), "make a stage of each")
	case !b.partial:
		b.add(b.at, Error, b.title+" does nothing", "add one of "+strings.Join(actions, ", "))
	}
	return ""
}

// onlyOf reports attributes that belong to another action.
func (b *body) onlyOf(action string) {
	for _, owner := range actions {
		for _, name := range belongs[owner] {
			if owner != action && action != "" && b.Attributes[name] != nil {
				_, at, _ := b.expr(name)
				b.add(at, Error, fmt.Sprintf("%s of %s means something only with %s", name, b.title, owner), "remove it")
			}
		}
	}
}

func (b *body) run() *StageRun {
	r := &StageRun{Command: b.texts("run"), Each: b.boolean("each")}
	r.Dir, _ = b.text("dir", ".")
	return r
}

func (b *body) stageProbe() *StageProbe {
	p := &StageProbe{Probe: b.ref("probe", kindProbe), Environment: b.ref("environment", kindEnvironment),
		Duration: b.duration("duration", standardLoad, time.Hour)}
	p.Rate, _ = b.number("rate", standardLoadRate, 1, 100_000)
	if b.Attributes["environment"] == nil && !b.partial {
		b.add(b.at, Error, b.title+" has no environment", "add environment = environment.test")
	}
	return p
}

// checkOrder reports stages that come before what they need.
func (r *reader) checkOrder(b *body, p Pipeline) {
	if r.partial {
		return
	}
	build := slices.IndexFunc(p.Stages, func(s Stage) bool { return s.Build })
	for i, s := range p.Stages {
		if (s.Bake || s.Deploy != "") && (build < 0 || build > i) {
			r.add(b.at, Error, fmt.Sprintf("stage %s of %s comes before any image is built", quoted(s.Name), b.title), `put stage "build" { build = true } before it`)
			return
		}
	}
}

// refs reads a list of references to one kind and notes them for checking.
func (b *body) refs(name, kind string) []string {
	e, at, ok := b.expr(name)
	if !ok {
		return nil
	}
	list, ok := asList(e)
	if !ok || len(list) == 0 {
		b.must(at, name, "a list of references that is not empty")
		return nil
	}
	var all []string
	for _, item := range list {
		at := b.src.at(item.Range().Start)
		ref, ok := b.asRefOf(item, []string{kind})
		switch {
		case !ok:
			b.must(at, name, "a list of references to "+orList([]string{kind}))
		case slices.Contains(all, ref.Name):
			b.add(at, Error, fmt.Sprintf("%s of %s have %s twice", name, b.title, quoted(ref.String())), "keep one of the two")
		default:
			b.uses = append(b.uses, use{ref, at})
			all = append(all, ref.Name)
		}
	}
	return all
}
