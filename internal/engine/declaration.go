package engine

import (
	"godwit/internal/api"
	"godwit/internal/landscape"
)

// declaration is a landscape as the store keeps it: the files that were handed
// over, with the values of their env references.
type declaration struct {
	Dir   string            `json:"dir"` // that images and builds are relative to
	Files []declaredFile    `json:"files"`
	Env   map[string]string `json:"env,omitempty"`
}

type declaredFile struct {
	Name  string `json:"name"`
	Bytes []byte `json:"bytes"`
}

// awsAccess is how the store keeps the way to AWS.
type awsAccess struct {
	Endpoint   string  `json:"endpoint,omitempty"`
	Profile    string  `json:"profile,omitempty"`
	Keys       awsKeys `json:"keys,omitzero"`
	DatabaseCA string  `json:"database_ca,omitempty"`
}

// awsKeys are secret; godwit down forgets them.
type awsKeys struct {
	ID      string `json:"id,omitempty"`
	Secret  string `json:"secret,omitempty"`
	Session string `json:"session,omitempty"`
}

// declared is a landscape as it came over the API.
func declared(in api.Landscape) declaration {
	d := declaration{Dir: in.Dir, Env: in.Env}
	for _, f := range in.Files {
		d.Files = append(d.Files, declaredFile(f))
	}
	return d
}

// parse reads the files. Findings are a Usage Failure.
func (d declaration) parse() (*landscape.Landscape, error) {
	var files []landscape.File
	for _, f := range d.Files {
		files = append(files, landscape.File{Name: f.Name, Bytes: f.Bytes})
	}
	l, findings := landscape.Parse(files)
	if findings.HasErrors() {
		return nil, &api.Failure{Code: api.Usage, Message: "the landscape has findings", Findings: findings}
	}
	return l, nil
}
