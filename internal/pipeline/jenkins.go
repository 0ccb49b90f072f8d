package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/quote"
)

// Jenkins says how a Jenkinsfile is to be.
type Jenkins struct {
	Dir       string // of the landscape, from the root of the repository
	Site      string
	Agent     string   // label of the machine that has godwit
	Submitter string   // who may approve: Jenkins users and groups, with commas between; "": everybody who may build
	NoKeys    bool     // the agent has a role of its own, so the site's keys are not asked of Jenkins
	Bake      []string // further arguments of godwit pipeline stage where it bakes
	Keep      int      // so many builds and ended runs stay; 0: as many as godwit keeps by itself
}

// grace is what Jenkins waits longer than godwit, whose message is the better one.
const grace = 5 * time.Minute

// jenkinsfile is one that is being written.
type jenkinsfile struct {
	script
	Jenkins
	site     site
	pipeline landscape.Pipeline
	name     string // of the landscape
	secrets  []string
	names    map[string]bool // of stages, each once
	approved int
}

// RenderJenkins writes a declarative Jenkinsfile that calls godwit for each unit.
// The same input gives the same bytes.
func RenderJenkins(l *landscape.Landscape, p landscape.Pipeline, options Jenkins) ([]byte, error) {
	if err := CheckBake(options.Site, options.Bake); err != nil {
		return nil, err
	}
	place, err := siteOf(options.Site)
	if err != nil {
		return nil, err
	}
	j := &jenkinsfile{Jenkins: options, site: place, pipeline: complete(l, p), name: l.Name, secrets: Secrets(l), names: map[string]bool{}}
	for _, c := range j.credentials() {
		if !quote.GroovyName(c.name) {
			return nil, fmt.Errorf("%w: a Jenkinsfile cannot set a variable called %q: rename env.%s", ErrUsage, c.name, c.name)
		}
	}
	for _, s := range j.pipeline.Stages {
		if s.FourEyes || s.Approvals > 1 {
			return nil, fmt.Errorf("%w: stage %q asks for %s, and an input of Jenkins has one answer and cannot tell who began the build: "+
				"run this pipeline with godwit pipeline run", ErrUsage, s.Name, eyes(s))
		}
	}
	j.head()
	j.block("pipeline", func() {
		j.line("agent none")
		j.line("")
		j.parameters()
		j.line("")
		j.options()
		j.line("")
		j.block("stages", j.stages)
		j.line("")
		j.block("post", func() {
			j.block("unsuccessful", func() {
				j.line(`echo "To go on where it stopped, build again with RESUME=${params.RESUME ?: env.BUILD_TAG}"`)
			})
		})
	})
	return []byte(j.b.String()), nil
}

func eyes(s landscape.Stage) string {
	if s.FourEyes {
		return "four eyes"
	}
	return fmt.Sprintf("%d approvals", s.Approvals)
}

func (j *jenkinsfile) head() {
	j.line("// Pipeline %s of landscape %s, site %s.", quote.GroovyRemark(j.pipeline.Name), quote.GroovyRemark(j.name), j.site.name)
	j.line("// Written by godwit pipeline render jenkins: change the landscape, and write it again.")
	j.line("//")
	j.line("// AGENT is the label of one machine that has godwit: images, logs and what is done lie there,")
	j.line("// not in Jenkins. Each sh may be run again, after a restart of Jenkins or a lost agent: godwit")
	j.line("// returns at once from what is done, and attaches to what is still under way.")
	if ids := j.credentials(); len(ids) > 0 {
		j.line("//")
		j.line("// Credentials of the kind \"Secret text\" that Jenkins needs:")
		for _, c := range ids {
			j.line("//   %s", quote.GroovyRemark(c.id))
		}
	}
	j.line("")
}

func (j *jenkinsfile) parameters() {
	j.block("parameters", func() {
		j.line("string(name: 'AGENT', defaultValue: %s, description: 'Label of the machine that has godwit')", quote.Groovy(j.Agent))
		j.line("string(name: 'RESUME', defaultValue: '', description: 'Run to go on with; empty: a new one')")
	})
}

func (j *jenkinsfile) options() {
	j.block("options", func() {
		j.line("disableConcurrentBuilds()")
		j.line("timestamps()")
		keep := cmp.Or(j.Keep, Keep)
		j.line("buildDiscarder(logRotator(numToKeepStr: '%d', artifactNumToKeepStr: '%d'))", keep, keep)
		j.line("durabilityHint('MAX_SURVIVABILITY')")
		j.line("skipDefaultCheckout()")
	})
}

// credential is a variable, and what Jenkins has it under.
type credential struct{ name, id string }

func (j *jenkinsfile) credentials() []credential {
	names := slices.Clone(j.secrets)
	if !j.NoKeys {
		for _, k := range j.site.keys {
			if k != "AWS_SESSION_TOKEN" { // it would be stale tomorrow
				names = append(names, k)
			}
		}
	}
	var all []credential
	for _, name := range names {
		all = append(all, credential{name, j.name + "-" + strings.ReplaceAll(strings.ToLower(name), "_", "-")})
	}
	return all
}

// unique is a name for a stage that no other has.
func (j *jenkinsfile) unique(name string) string {
	for n := 2; j.names[name]; n++ {
		name = fmt.Sprintf("%s (%d)", strings.TrimSuffix(name, fmt.Sprintf(" (%d)", n-1)), n)
	}
	j.names[name] = true
	return name
}

func (j *jenkinsfile) stage(name string, body func()) {
	j.block("stage("+quote.Groovy(j.unique(name))+")", body)
}

// stages writes what lies between two approvals as one stage with an agent; an
// approval keeps no machine while it waits.
func (j *jenkinsfile) stages() {
	all := j.pipeline.Stages
	name, first := "all", true
	for from := 0; from < len(all); {
		if all[from].Approve != "" {
			if first { // there is no source to approve yet
				j.together("before "+all[from].Name, nil, true)
				first = false
			}
			j.approval(all[from])
			name = "after " + all[from].Name
			from++
			continue
		}
		to := from
		for to < len(all) && all[to].Approve == "" {
			to++
		}
		if first && to < len(all) {
			name = "before " + all[to].Name
		}
		j.together(name, all[from:to], first)
		from, first = to, false
	}
}

func (j *jenkinsfile) together(name string, stages []landscape.Stage, first bool) {
	j.stage(name, func() {
		j.agent()
		j.block("stages", func() {
			j.source(first)
			for _, s := range stages {
				j.work(s)
			}
		})
		j.block("post", func() {
			j.block("always", func() {
				j.sh("keep logs", `rm -rf godwit-logs; godwit pipeline logs "${RESUME:-$BUILD_TAG}" --out godwit-logs || true`)
				j.line("archiveArtifacts artifacts: 'godwit-logs/**', allowEmptyArchive: true")
			})
		})
	})
}

// agent is used again when it is lost, or Jenkins restarts in a step that cannot
// be gone on with.
func (j *jenkinsfile) agent() {
	j.block("agent", func() {
		j.block("node", func() {
			j.line(`label "${params.AGENT}"`)
			j.line("retries 2")
		})
	})
}

// source makes sure that all stages see one state of the repository.
func (j *jenkinsfile) source(first bool) {
	name := "source"
	if !first {
		name = "the same source"
	}
	j.stage(name, func() {
		j.block("steps", func() {
			if !first {
				j.line("unstash 'source'")
				return
			}
			j.line("checkout scm")
			j.line("stash name: 'source', useDefaultExcludes: false")
		})
	})
}

func (j *jenkinsfile) work(s landscape.Stage) {
	if s.Bake && !j.site.bakes {
		j.line("// %s: site %s runs the images themselves, there is nothing to bake", quote.GroovyRemark(s.Name), j.site.name)
		return
	}
	all := units(landscape.Pipeline{Services: j.pipeline.Services, Stages: []landscape.Stage{s}}, 0)
	j.stage(s.Name, func() {
		j.environment(s)
		if len(all) == 1 {
			j.unit(s, all[0])
			return
		}
		j.block("parallel", func() {
			for _, u := range all {
				j.stage(s.Name+" "+u.Service, func() { j.unit(s, u) })
			}
		})
	})
}

// environment gives the credentials to the stages that reach environments, and to
// no others: what tests and builds is whatever was committed.
func (j *jenkinsfile) environment(s landscape.Stage) {
	all := j.credentials()
	if len(all) == 0 || s.Run != nil || s.Build {
		return
	}
	j.block("environment", func() {
		for _, c := range all {
			j.line("%s = credentials(%s)", c.name, quote.Groovy(c.id))
		}
	})
}

func (j *jenkinsfile) unit(s landscape.Stage, u Unit) {
	j.timeout(s.Timeout + grace)
	j.block("steps", func() {
		args := []string{"exec", "godwit", "pipeline", "stage", quote.Shell(j.pipeline.Name), quote.Shell(s.Name)}
		if u.Service != "" {
			args = append(args, "--service", quote.Shell(u.Service))
		}
		if s.Bake {
			for _, arg := range j.Bake {
				args = append(args, quote.Shell(arg))
			}
		}
		j.sh(u.Name(), j.commandLine(args))
	})
}

func (j *jenkinsfile) commandLine(args []string) string {
	args = append(args, "--dir", quote.Shell(j.Dir), "--site", j.site.name, "--run", `"${RESUME:-$BUILD_TAG}"`)
	if j.Keep != 0 {
		args = append(args, "--keep", strconv.Itoa(j.Keep))
	}
	return strings.Join(args, " ")
}

// sh runs a command without writing it, or a variable's value, into the log.
func (j *jenkinsfile) sh(label, command string) {
	j.line("sh label: %s, script: %s", quote.Groovy(label), quote.Groovy("set +x; "+command))
}

func (j *jenkinsfile) timeout(d time.Duration) {
	d = max(d, time.Minute)
	minutes := (d + time.Minute - 1) / time.Minute
	j.block("options", func() { j.line("timeout(time: %d, unit: 'MINUTES')", minutes) })
}

func (j *jenkinsfile) approval(s landscape.Stage) {
	j.approved++
	j.stage(s.Name, func() {
		j.timeout(s.Timeout)
		j.block("input", func() {
			j.line("message %s", quote.Groovy(s.Approve))
			j.line("ok 'Approve'")
			if j.Submitter != "" {
				j.line("submitter %s", quote.Groovy(j.Submitter))
			}
			j.line("submitterParameter 'APPROVED_BY'")
		})
		j.agent()
		j.block("steps", func() {
			j.line("milestone ordinal: %d", j.approved)
			j.line("unstash 'source'")
			args := []string{"exec", "godwit", "pipeline", "stage", quote.Shell(j.pipeline.Name), quote.Shell(s.Name), "--approved-by", `"$APPROVED_BY"`}
			j.sh(s.Name, j.commandLine(args))
		})
	})
}
