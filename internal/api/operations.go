package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Operation is one row of the API's table.
type Operation struct {
	ID     string
	Method string
	Path   string // with {name} for what is asked for
	Reads  bool   // it only looks
}

// Operations is the API's table, sorted by their ids.
func Operations() []Operation {
	var all []Operation
	for _, path := range table(http.NewServeMux(), unasked{}, "").OpenAPI().Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete} {
			if op != nil {
				all = append(all, Operation{ID: op.OperationID, Method: op.Method, Path: op.Path, Reads: op.Extensions[reads] == true})
			}
		}
	}
	slices.SortFunc(all, func(a, b Operation) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// unasked is an Engine that is only registered.
type unasked struct{ Engine }
