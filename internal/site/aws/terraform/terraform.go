// Package terraform renders a landscape to Terraform: one root for the account,
// one for each environment with a state of its own, and the modules that they
// share.
//
// Its nouns: a tree is all files by their paths; a root is a directory that is
// applied by itself; a wall is a security group, and an opening is a pair of
// rules between two. Rendering is pure: the same landscape gives the same bytes,
// and nothing that a landscape says can end up as code. Only Tree.Write touches
// files.
//
// The names that rollouts find things by are those of package convention. The
// command line and whoever applies the tree import it; it imports landscape and
// convention.
package terraform

import (
	"fmt"
	"maps"
	"slices"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
)

// Tree is all files that were rendered, by their paths with slashes.
type Tree map[string][]byte

// Paths are the paths of all files, sorted.
func (t Tree) Paths() []string { return slices.Sorted(maps.Keys(t)) }

// ignored is what must not be committed: states and plans hold what is secret.
const ignored = `.terraform/
.godwit/
godwit_override.tf.json
*.tfstate
*.tfstate.*
*.tfplan
`

// Render writes a landscape as Terraform. It is an error when the landscape says
// nothing of AWS, or something that AWS cannot make.
func Render(l *landscape.Landscape) (Tree, error) {
	if err := check(l); err != nil {
		return nil, err
	}
	tree := Tree{}
	if err := addModules(tree); err != nil {
		return nil, err
	}
	for name, content := range renderAccount(l) {
		tree["account/"+name] = marked(name, content)
	}
	for _, e := range l.Environments {
		files, err := newRoot(l, e).render()
		if err != nil {
			return nil, fmt.Errorf("environment %s: %w", e.Name, err)
		}
		for name, content := range files {
			tree["environments/"+e.Name+"/"+name] = marked(name, content)
		}
	}
	tree["README.md"] = marked("README.md", readme(l))
	tree[".gitignore"] = marked(".gitignore", []byte(ignored))
	return tree, nil
}

// root is what the files of an environment are made from.
type root struct {
	landscape   *landscape.Landscape
	environment landscape.Environment
	aws         landscape.AWSEnvironment
	scope       convention.Scope
	ingresses   map[string][]landscape.Ingress // by service
	needed      map[string]bool                // services that others need
}

func newRoot(l *landscape.Landscape, e landscape.Environment) *root {
	r := &root{landscape: l, environment: e, aws: l.AWS.In(e.Name),
		scope:     convention.Scope{Landscape: l.Name, Environment: e.Name},
		ingresses: map[string][]landscape.Ingress{}, needed: map[string]bool{}}
	for _, in := range l.Ingresses {
		r.ingresses[in.Service] = append(r.ingresses[in.Service], in)
	}
	for _, s := range l.Services {
		for _, n := range s.Needs {
			if n.Kind == "service" {
				r.needed[n.Name] = true
			}
		}
	}
	return r
}

// render is all files of the root; those that would be empty are left out.
func (r *root) render() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, write := range map[string]func(*file){
		"versions.tf": writeVersions, "backend.tf": writeBackend, "backend.hcl": r.writeBackendSettings,
		"providers.tf": r.writeProvider, "variables.tf": r.writeVariables, "main.tf": r.writeMain,
		"edges.tf": r.writeEdges, "services.tf": r.writeServices, "databases.tf": r.writeDatabases,
		"ingress.tf": r.writeIngress, "access.tf": r.writeAccess, "vpn.tf": r.writeVPN, "outputs.tf": r.writeOutputs,
	} {
		f := newFile()
		write(f)
		if f.twice != "" {
			return nil, fmt.Errorf("%s would be in %s twice: two names differ too little, rename one", f.twice, name)
		}
		if !f.empty {
			files[name] = f.bytes()
		}
	}
	return files, nil
}

// public: there is a public load balancer.
func (r *root) public() bool { return len(r.landscape.Ingresses) > 0 }

// secret: the service has a secret of its own.
func secret(s landscape.Service) bool {
	for _, v := range s.Env {
		if slices.ContainsFunc(v.Parts, func(p landscape.Part) bool { return p.Ref != nil && p.Ref.Kind == "env" }) {
			return true
		}
	}
	return false
}

// databases are those that a service needs, in its order.
func databases(s landscape.Service) []string {
	var names []string
	for _, n := range s.Needs {
		if n.Kind == "database" && !slices.Contains(names, n.Name) {
			names = append(names, n.Name)
		}
	}
	return names
}

// needs are the services that a service needs, in its order.
func needs(s landscape.Service) []string {
	var names []string
	for _, n := range s.Needs {
		if n.Kind == "service" && !slices.Contains(names, n.Name) {
			names = append(names, n.Name)
		}
	}
	return names
}
