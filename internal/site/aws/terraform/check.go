package terraform

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
)

// ErrNoAWS: the landscape says nothing of AWS.
var ErrNoAWS = errors.New(`the landscape has no block aws: add aws { region = "eu-central-1" }`)

// takenRoles are roles and databases that are on RDS before ours. godwit is the
// administrator, whose password RDS changes.
var takenRoles = []string{"godwit", "postgres", "template0", "template1", "public", "none"}

// label is what names become part of code by. Parse accepts no other.
var label = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

// check finds what is right in a landscape, and cannot be on AWS.
func check(l *landscape.Landscape) error {
	if l.AWS == nil {
		return ErrNoAWS
	}
	if err := checkNames(l); err != nil {
		return err // the rest goes by names
	}
	return errors.Join(checkReserved(l), checkUnique(l), checkPeaks(l))
}

func checkNames(l *landscape.Landscape) error {
	names := []string{l.Name}
	for _, e := range l.Environments {
		names = append(names, e.Name)
		if !e.Network.IsValid() {
			return fmt.Errorf("environment %s has no network", e.Name)
		}
	}
	for _, s := range l.Services {
		names = append(names, s.Name)
		for _, n := range s.Needs {
			names = append(names, n.Name)
		}
	}
	for _, d := range l.Databases {
		names = append(names, d.Name)
	}
	for _, in := range l.Ingresses {
		names = append(names, in.Service)
	}
	for _, n := range names {
		if !label.MatchString(n) {
			return fmt.Errorf("%q is no name: lower-case letters, digits and hyphens, a letter first", n)
		}
	}
	return nil
}

// checkReserved refuses names that mean something else to AWS or here.
func checkReserved(l *landscape.Landscape) error {
	var found []error
	for _, reserved := range []string{"internal", "sg"} {
		if l.Name == reserved || strings.HasPrefix(l.Name, reserved+"-") {
			found = append(found, fmt.Errorf("landscape %s: AWS keeps names that begin with %q- for itself; call it something else", l.Name, reserved))
		}
	}
	const longest = 63
	account := convention.Account{Landscape: l.Name, AccountID: "000000000000", Region: "ap-southeast-1"} // none is longer
	if n := len(account.StateBucket()) - longest; n > 0 {
		found = append(found, fmt.Errorf("landscape %s: its name is part of the names of buckets, and %d characters too long for that", l.Name, n))
	}
	for _, e := range l.Environments {
		if e.Name == "account" {
			found = append(found, errors.New(`environment account: that is the name of the root of the whole account; call it something else`))
		}
	}
	for _, d := range l.Databases {
		switch {
		case strings.Contains(d.Name, "--"):
			found = append(found, fmt.Errorf("database %s: RDS takes no two hyphens in a row; call it something else", d.Name))
		case slices.Contains(takenRoles, d.Name) || strings.HasPrefix(d.Name, "rds"):
			found = append(found, fmt.Errorf("database %s: services would connect as a role of that name, and RDS has one of its own; call it something else", d.Name))
		}
	}
	return errors.Join(found...)
}

// checkUnique refuses names that fall together in the account: service a-b of
// environment test, and service b of environment test-a.
func checkUnique(l *landscape.Landscape) error {
	var found []error
	seen := map[string]string{}
	for _, e := range l.Environments {
		scope := convention.Scope{Landscape: l.Name, Environment: e.Name}
		add := func(kind, name string) {
			what, key := fmt.Sprintf("%s %s of environment %s", kind, name, e.Name), kind+scope.Name(name)
			if other, ok := seen[key]; ok {
				found = append(found, fmt.Errorf("%s and %s would have the same name on AWS, %s: rename one", other, what, scope.Name(name)))
			}
			seen[key] = what
		}
		for _, s := range l.Services {
			add("service", s.Name)
		}
		for _, d := range l.Databases {
			add("database", d.Name)
		}
	}
	return errors.Join(found...)
}

// checkPeaks refuses peaks of one service in several time zones: which of two is
// on could not be said by a clock on the wall.
func checkPeaks(l *landscape.Landscape) error {
	var found []error
	for _, s := range l.Services {
		for _, p := range s.Scale.Peaks {
			if first := s.Scale.Peaks[0]; zone(p) != zone(first) {
				found = append(found, fmt.Errorf("service %s: peak %s is in time zone %s and peak %s in %s; on AWS all peaks of a service have one",
					s.Name, first.Name, zone(first), p.Name, zone(p)))
				break
			}
		}
	}
	return errors.Join(found...)
}
