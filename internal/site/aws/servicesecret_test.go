package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
)

// vault is a site with the secret of the till in test and stage, empty.
type vault struct {
	*testing.T
	*aws.Site
	client aws.SecretsManager
	forget func() // what AWS may forget
}

const tillSecret = "bistro/test/service/till"

// vaults are one on moto and one on the fake.
func vaults(t *testing.T, do func(vault)) {
	open := func(t *testing.T, clients aws.Clients, maker awstest.SecretsManager, forget func()) {
		for _, environment := range []string{"test", "stage"} {
			name := "bistro/" + environment + "/service/till"
			if _, err := maker.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name}); err != nil {
				t.Fatal(err)
			}
		}
		do(vault{t, aws.New(clients, aws.Options{Landscape: bistro(), Region: awstest.Region}), clients.SecretsManager, forget})
	}
	t.Run("moto", func(t *testing.T) {
		t.Parallel()
		cfg := awstest.StartMoto(t).Config(t)
		open(t, aws.NewClients(cfg), secretsmanager.NewFromConfig(cfg), nil)
	})
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		c := awsfake.New(awsfake.Options{})
		open(t, fakeClients(c), c.SecretsManager(), c.ForgetSecretVersions)
	})
}

// fill returns the version for one value.
func (v vault) fill(value string, named ...string) string {
	v.Helper()
	version, err := v.FillServiceSecret(context.Background(), "test", "till", map[string]string{"TOKEN": value}, named)
	if err != nil {
		v.Fatal(err)
	}
	return version
}

// holds is what an instance reads in a version.
func (v vault) holds(version string) string {
	v.Helper()
	in := &secretsmanager.GetSecretValueInput{SecretId: sdk.String(tillSecret)}
	if version != "" {
		in.VersionId = &version
	}
	out, err := v.client.GetSecretValue(context.Background(), in)
	if err != nil {
		v.Fatal(err)
	}
	values := map[string]string{}
	if err := json.Unmarshal([]byte(*out.SecretString), &values); err != nil {
		v.Fatal(err)
	}
	return values["TOKEN"]
}

// labels of all versions.
func (v vault) labels() map[string][]string {
	v.Helper()
	out, err := v.client.DescribeSecret(context.Background(), &secretsmanager.DescribeSecretInput{SecretId: sdk.String(tillSecret)})
	if err != nil {
		v.Fatal(err)
	}
	return out.VersionIdsToStages
}

// current is the version that AWS shows.
func (v vault) current() string {
	for version, labels := range v.labels() {
		if slices.Contains(labels, "AWSCURRENT") {
			return version
		}
	}
	return ""
}

// TestVersionForEachSetOfValues: what a release was given never changes, and is
// told by no id.
func TestVersionForEachSetOfValues(t *testing.T) {
	t.Parallel()
	vaults(t, func(v vault) {
		one := v.fill("one")
		if again := v.fill("one", one); again != one {
			t.Errorf("the same values are %s, and were %s", again, one)
		}
		two := v.fill("two", one)
		if two == one || v.holds(one) != "one" || v.holds(two) != "two" {
			t.Errorf("version %s holds %s, and %s %s", one, v.holds(one), two, v.holds(two))
		}
		if again := v.fill("two", one); again != two {
			t.Errorf("put by a deploy that was killed, and not found: %s, %s", two, again)
		}
		if again := v.fill("one", two, one); again != one {
			t.Errorf("the values of an earlier release are %s, and were %s", again, one)
		}
		if v.holds("") != "one" {
			t.Error("what releases read that name no version has changed without a rollout")
		}
		other, err := v.FillServiceSecret(context.Background(), "stage", "till", map[string]string{"TOKEN": "one"}, nil)
		if err != nil || other == one {
			t.Errorf("the id %s tells that two environments have the same values: %v", other, err)
		}
		for range 2 {
			if err := v.MarkServiceSecret(context.Background(), "test", "till", two); err != nil || v.current() != two {
				t.Errorf("%s is shown as current: %v", v.current(), err)
			}
		}
		if labels := v.labels()[one]; !slices.Contains(labels, "godwit-"+one) {
			t.Errorf("nothing keeps the version that is not current any more: %v", labels)
		}
	})
}

// TestOldVersionsAreLetGo: AWS allows 20 labels. Those that releases name stay,
// the newest, and the one that serves whatever comes.
func TestOldVersionsAreLetGo(t *testing.T) {
	t.Parallel()
	vaults(t, func(v vault) {
		serving := v.fill("serving")
		var released []string // the newest first
		for n := range 40 {
			released = slices.Insert(released, 0, v.fill(fmt.Sprint(n), append([]string{serving}, released...)...))
			v.fill("refused "+fmt.Sprint(n%3), append([]string{serving}, released...)...)
		}
		labels := slices.Concat(slices.Collect(maps.Values(v.labels()))...)
		if len(labels) > 18 {
			t.Errorf("%d labels: %v", len(labels), labels)
		}
		if v.forget != nil {
			v.forget()
		}
		for _, version := range append([]string{serving}, released[:12]...) {
			if v.holds(version) == "" {
				t.Errorf("version %s is gone", version)
			}
		}
		last := released[len(released)-1]
		err := v.KeepServiceSecret(context.Background(), "test", "till", last, append([]string{serving}, released...))
		if v.forget == nil && (err != nil || !slices.Contains(v.labels()[last], "godwit-"+last)) {
			t.Errorf("still there, and not kept again: %v, %v", v.labels()[last], err)
		}
		if v.forget != nil && (!errors.Is(err, site.ErrNotFound) || !strings.Contains(err.Error(), last)) {
			t.Errorf("a version that is gone: %v", err)
		}
		if err := v.KeepServiceSecret(context.Background(), "test", "till", serving, nil); err != nil {
			t.Error(err)
		}
	})
}
