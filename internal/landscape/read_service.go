package landscape

import (
	"fmt"
	"time"
)

// What a service gets when it does not say.
const (
	standardHealthPath     = "/healthz"
	standardHealthInterval = 100 * time.Millisecond
	standardHealthTimeout  = 2 * time.Second
	standardScale          = 2
	standardWarmup         = time.Minute
	maxScale               = 1000
)

// declaredService is a service with the places of what it refers to.
type declaredService struct {
	Service
	at      place
	needsAt []place
	env     []envUse
}

func (r *reader) service(b *body) {
	r.declare(b)
	s := declaredService{at: b.at, Service: Service{
		Name:   b.name,
		Health: Health{standardHealthPath, standardHealthInterval, standardHealthTimeout},
		Scale:  Scale{Min: standardScale, Max: standardScale, Warmup: standardWarmup},
	}}
	s.Port, _ = b.number("port", 0, 1, 65535)
	s.Image, _ = b.text("image", "")
	s.Env, s.env = b.env()
	s.Needs, s.needsAt = b.needs()
	for _, c := range b.children() {
		switch c.kind {
		case "build":
			s.Build = c.build()
		case "health":
			s.Health = c.health()
		case "scale":
			s.Scale = c.scale()
		}
	}
	b.oneImage(s.Build != nil)
	r.landscape.Services = append(r.landscape.Services, s.Service)
	r.services = append(r.services, s)
}

// oneImage checks that there is exactly one of image and build.
func (b *body) oneImage(built bool) {
	_, at, given := b.expr("image")
	switch {
	case given && built:
		b.add(at, Error, b.title+" has both image and build", "keep one: image for a finished image, build to have it made")
	case !given && !built && !b.partial:
		b.add(b.at, Error, b.title+" has neither image nor build", `add image = "./images/`+shortName(b.name)+`", or a block build { … }`)
	}
}

// shortName is the name for use in an example.
func shortName(name string) string {
	if goodName(name) {
		return name
	}
	return "name"
}

func (b *body) build() *Build {
	dir, _ := b.text("dir", "")
	return &Build{Dir: dir, Command: b.texts("command"), Entrypoint: b.texts("entrypoint")}
}

func (b *body) health() Health {
	return Health{
		Path:     b.path("path", standardHealthPath),
		Interval: b.duration("interval", standardHealthInterval, time.Minute),
		Timeout:  b.duration("timeout", standardHealthTimeout, time.Minute),
	}
}

func (b *body) scale() Scale {
	var s Scale
	s.Min, _ = b.number("min", standardScale, 1, maxScale)
	max, at := b.number("max", max(s.Min, standardScale), 1, maxScale)
	s.Max = max
	if s.Min > s.Max {
		b.add(at, Error, fmt.Sprintf("%s has min %d above max %d", b.title, s.Min, s.Max), fmt.Sprintf("write max = %d, or a lower min", s.Min))
	}
	s.Requests, _ = b.number("requests", 0, 1, 1_000_000)
	s.Warmup = b.duration("warmup", standardWarmup, time.Hour)
	seen := map[Ref]bool{}
	for _, c := range b.children() {
		b.innerName(b, c, seen)
		s.Peaks = append(s.Peaks, c.peak(s.Max))
	}
	return s
}

// needs reads the edges that a service asks for.
func (b *body) needs() ([]Ref, []place) {
	e, at, ok := b.expr("needs")
	if !ok {
		return nil, nil
	}
	list, ok := asList(e)
	if !ok {
		b.must(at, "needs", "a list of references")
		return nil, nil
	}
	var refs []Ref
	var places []place
	seen := map[Ref]bool{}
	for _, item := range list {
		at := b.src.at(item.Range().Start)
		ref, ok := b.asRefOf(item, []string{kindService, kindDatabase})
		switch {
		case !ok:
			b.must(at, "needs", "a list of references to services and databases, without attributes")
			continue
		case seen[ref]:
			b.add(at, Error, fmt.Sprintf("%s needs %s twice", b.title, quoted(ref.String())), "keep one of the two")
			continue
		case ref == Ref{kindService, b.name}:
			b.add(at, Error, b.title+" needs itself", "remove it; an instance reaches itself at 127.0.0.1")
			continue
		}
		seen[ref] = true
		b.uses = append(b.uses, use{ref, at})
		refs, places = append(refs, ref), append(places, at)
	}
	return refs, places
}
