package aws

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// userData is what an instance of a release is started with. PORT and HOST say
// where to listen; the release's own env has the last word.
func userData(l *landscape.Landscape, scope convention.Scope, region string, c convention.Colour, r fleet.Release) (convention.UserData, error) {
	u := convention.UserData{Landscape: scope.Landscape, Environment: scope.Environment,
		Service: r.Service, Region: region, LogGroup: scope.LogGroup(r.Service), Group: scope.Group(r.Service, c),
		Hook: convention.DrainHook, LaunchHook: convention.LaunchHook, Port: r.Port, Release: r, Env: map[string][]convention.Piece{
			"HOST": {{Text: "0.0.0.0"}}, "PORT": {{Text: strconv.Itoa(r.Port)}}}}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		var pieces []convention.Piece
		for _, p := range r.Env[name].Parts {
			piece, err := resolve(l, scope, r, p)
			if err != nil {
				return u, fmt.Errorf("variable %s of service %s: %w", name, r.Service, err)
			}
			pieces = append(pieces, piece)
		}
		u.Env[name] = pieces
	}
	return u, nil
}

// resolve says where a part of a value comes from: nothing that is secret is
// part of the document, only where it is kept.
func resolve(l *landscape.Landscape, scope convention.Scope, r fleet.Release, p landscape.Part) (convention.Piece, error) {
	if p.Ref == nil {
		return convention.Piece{Text: p.Literal}, nil
	}
	switch p.Ref.Kind {
	case "env":
		return convention.Piece{Secret: scope.ServiceSecret(r.Service), Key: p.Ref.Name, Version: r.SecretVersion}, nil
	case "database":
		keys := map[string]string{"url": "url", "host": "host", "port": "port", "user": "username", "password": "password", "name": "dbname"}
		key, ok := keys[p.Ref.Attr]
		if _, declared := l.Database(p.Ref.Name); !ok || !declared {
			return convention.Piece{}, fmt.Errorf("%s means nothing on AWS: %w", p.Ref, site.ErrInvalid)
		}
		return convention.Piece{Secret: scope.DatabaseSecret(p.Ref.Name), Key: key}, nil
	}
	text, ok := l.Attr(*p.Ref)
	if !ok {
		return convention.Piece{}, fmt.Errorf("%s means nothing on AWS: %w", p.Ref, site.ErrInvalid)
	}
	return convention.Piece{Text: text}, nil
}
