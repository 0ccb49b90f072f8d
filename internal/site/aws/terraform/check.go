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

const (
	// longestLandscape is the longest name of a landscape: that of a bucket has at
	// most 63 characters, and "-access-", the account, "-" and the longest region
	// are 8 + 12 + 1 + 14 of them.
	longestLandscape = 63 - 35
	// mostDatabases is how many a service may need: the role of its instances names
	// the secret of each, and the policies in a role have at most 10240 characters.
	mostDatabases = 40
)

// ofAccount are the parts of the account's root that have names and policies of
// their own: an environment called so would share them.
var ofAccount = []string{"account", "audit", "state", "trail"}

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
	return errors.Join(checkReserved(l), checkUnique(l), checkSecrets(l), checkPeaks(l))
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
	if n := len(l.Name) - longestLandscape; n > 0 {
		found = append(found, fmt.Errorf("landscape %s: its name is part of the names of buckets, and %d characters too long for that", l.Name, n))
	}
	for _, e := range l.Environments {
		for _, reserved := range ofAccount {
			if e.Name == reserved || strings.HasPrefix(e.Name, reserved+"-") {
				found = append(found, fmt.Errorf("environment %s: what begins with %s-%s belongs to the root of the whole account; call it something else", e.Name, l.Name, reserved))
			}
		}
		if len(l.Databases) > 0 && strings.Contains(l.Name+"-"+e.Name, "--") {
			found = append(found, fmt.Errorf("environment %s of landscape %s: RDS takes no two hyphens in a row, and both names are part of those of databases; call it something else", e.Name, l.Name))
		}
	}
	for _, s := range l.Services {
		if s.Name == "admin" || s.Name == "developer" {
			found = append(found, fmt.Errorf("service %s: the role of its instances would have the name of that of people, and IAM knows each name once; call it something else", s.Name))
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

// checkSecrets refuses services that need more secrets than a role can name.
func checkSecrets(l *landscape.Landscape) error {
	var found []error
	for _, s := range l.Services {
		if n := len(databases(s)); n > mostDatabases {
			found = append(found, fmt.Errorf("service %s needs %d databases, and on AWS the role of its instances can be let into at most %d: split the service", s.Name, n, mostDatabases))
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
