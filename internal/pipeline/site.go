package pipeline

import (
	"fmt"
	"strings"
)

// site is what differs between the places where environments run.
type site struct {
	name   string
	bakes  bool     // images become machine images before they are deployed
	queues bool     // its engine does one rollout at a time, and refuses a second
	deploy []string // the command that rolls out
	probe  []string // further arguments of a probe
	keys   []string // variables that hold credentials of the site
}

// Sites are the names of those that there are.
func Sites() []string { return []string{"local", "aws"} }

// CheckBake refuses arguments of a bake where nothing is baked.
func CheckBake(name string, bake []string) error {
	place, err := siteOf(name)
	if err == nil && len(bake) > 0 && !place.bakes {
		err = fmt.Errorf("%w: site %s bakes nothing: leave out what the bake is to do, or take a site that does", ErrUsage, name)
	}
	return err
}

func siteOf(name string) (site, error) {
	for _, s := range []site{
		{name: "local", queues: true, deploy: []string{"deploy"}},
		{name: "aws", bakes: true, deploy: []string{"aws", "deploy"}, probe: []string{"--site", "aws"},
			keys: []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}},
	} {
		if s.name == name {
			return s, nil
		}
	}
	return site{}, fmt.Errorf("%w: there is no site %q: take %s", ErrUsage, name, strings.Join(Sites(), " or "))
}
