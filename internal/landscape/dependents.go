package landscape

import "slices"

// Dependents are the services that need one of these databases, or a service that does,
// in the order in which they are declared.
func Dependents(l *Landscape, databases []string) []string {
	found := map[string]bool{}
	for grown := true; grown; {
		grown = false
		for _, s := range l.Services {
			needs := slices.ContainsFunc(s.Needs, func(r Ref) bool {
				return r.Kind == "database" && slices.Contains(databases, r.Name) || r.Kind == "service" && found[r.Name]
			})
			if needs && !found[s.Name] {
				found[s.Name], grown = true, true
			}
		}
	}
	var names []string
	for _, s := range l.Services {
		if found[s.Name] {
			names = append(names, s.Name)
		}
	}
	return names
}
