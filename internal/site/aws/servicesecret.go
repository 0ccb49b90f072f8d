package aws

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	uuid "github.com/aws/smithy-go/rand"

	"godwit/internal/site"
)

// currentLabel is on the version of a secret that is read when none is named.
const currentLabel = "AWSCURRENT"

// keptVersions of a service's secret stay for its releases. AWS allows 20 labels
// on all versions of a secret together; three are its own.
const keptVersions = 15

// keepLabel is the label that keeps a version: one without any may be deleted by
// AWS at any time.
func keepLabel(version string) string { return "godwit-" + version }

// serviceSecret holds what a service's env takes from env.NAME, one version for
// each set of values that a release was made with. A version never changes, and
// a release names its own: so its values come and go with it.
//
// The id of a version is random. It stands in user data, in the journal and in
// AWS's log, where one made of the values would let anybody try guesses on it.
type serviceSecret struct {
	site    *Site
	name    string
	kept    []string // versions with their label
	current string   // version that AWS calls current; "" while the secret is empty
}

func (s *Site) serviceSecret(ctx context.Context, environment, service string) (*serviceSecret, error) {
	out := &serviceSecret{site: s, name: s.scope(environment).ServiceSecret(service)}
	known, err := s.describeSecret(ctx, out.name)
	if err != nil {
		return nil, err
	}
	for _, version := range slices.Sorted(maps.Keys(known.VersionIdsToStages)) {
		labels := known.VersionIdsToStages[version]
		if slices.Contains(labels, keepLabel(version)) {
			out.kept = append(out.kept, version)
		}
		if slices.Contains(labels, currentLabel) {
			out.current = version
		}
	}
	return out, nil
}

// FillServiceSecret returns the version of a service's secret that holds these
// values: one that is kept, or else a new one. It changes nothing that a release
// reads, and repeats safely: the same values give the same version as long as
// that is kept.
//
// named are the versions that releases name, the most needed first. When too many
// are kept, those that none names are let go first, then the last of named; never
// the first.
func (s *Site) FillServiceSecret(ctx context.Context, environment, service string, values map[string]string, named []string) (string, error) {
	secret, err := s.serviceSecret(ctx, environment, service)
	if err != nil {
		return "", err
	}
	version, err := secret.holding(ctx, values, named)
	if err != nil || version != "" {
		return version, err
	}
	if err := secret.makeRoom(ctx, named); err != nil {
		return "", err
	}
	return secret.put(ctx, values)
}

// KeepServiceSecret sees to it that a version stays, for a release that names it
// is to serve again. ErrNotFound when AWS has deleted it; named is as with
// FillServiceSecret.
func (s *Site) KeepServiceSecret(ctx context.Context, environment, service, version string, named []string) error {
	secret, err := s.serviceSecret(ctx, environment, service)
	if err != nil || slices.Contains(secret.kept, version) {
		return err
	}
	if err := secret.makeRoom(ctx, named); err != nil {
		return err
	}
	err = secret.label(ctx, &secretsmanager.UpdateSecretVersionStageInput{VersionStage: aws.String(keepLabel(version)), MoveToVersionId: &version})
	var api smithy.APIError
	if errors.As(err, &api) && (api.ErrorCode() == "ResourceNotFoundException" || api.ErrorCode() == "InvalidParameterException") {
		return fmt.Errorf("version %s of secret %s is not there any more (%s): %w", version, secret.name, api.ErrorMessage(), site.ErrNotFound)
	}
	return err
}

// MarkServiceSecret has AWS call a version current: that is what its console
// shows, and what releases read that name none. It repeats safely.
func (s *Site) MarkServiceSecret(ctx context.Context, environment, service, version string) error {
	secret, err := s.serviceSecret(ctx, environment, service)
	if err != nil || secret.current == version {
		return err
	}
	in := &secretsmanager.UpdateSecretVersionStageInput{VersionStage: aws.String(currentLabel), MoveToVersionId: &version}
	if secret.current != "" {
		in.RemoveFromVersionId = &secret.current
	}
	return secret.label(ctx, in)
}

// holding is the kept version that holds these values; "" when none does.
func (v *serviceSecret) holding(ctx context.Context, values map[string]string, named []string) (string, error) {
	for _, version := range v.byNeed(named) {
		there, err := v.site.read(ctx, v.name, version)
		if err != nil {
			return "", err
		}
		if maps.Equal(there, values) {
			return version, nil
		}
	}
	return "", nil
}

// byNeed are the kept versions, the most needed first: that of named, and after
// them those that no release names.
func (v *serviceSecret) byNeed(named []string) []string {
	var all []string
	for _, version := range slices.Concat(named, v.kept) {
		if slices.Contains(v.kept, version) && !slices.Contains(all, version) {
			all = append(all, version)
		}
	}
	return all
}

// makeRoom lets versions go until another can be kept.
func (v *serviceSecret) makeRoom(ctx context.Context, named []string) error {
	all := v.byNeed(named)
	for _, version := range all[min(keptVersions-1, len(all)):] {
		err := v.label(ctx, &secretsmanager.UpdateSecretVersionStageInput{VersionStage: aws.String(keepLabel(version)), RemoveFromVersionId: &version})
		if err != nil {
			return err
		}
	}
	return nil
}

// put makes a version, and leaves it to a rollout which one is current.
func (v *serviceSecret) put(ctx context.Context, values map[string]string) (string, error) {
	body, err := json.Marshal(values)
	if err != nil {
		return "", err
	}
	version, err := uuid.NewUUID(rand.Reader).GetUUID()
	if err != nil {
		return "", err
	}
	_, err = v.site.clients.SecretsManager.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &v.name,
		SecretString: aws.String(string(body)), ClientRequestToken: &version, VersionStages: []string{keepLabel(version)}})
	return version, explain("filling secret "+v.name, err)
}

func (v *serviceSecret) label(ctx context.Context, in *secretsmanager.UpdateSecretVersionStageInput) error {
	in.SecretId = &v.name
	_, err := v.site.clients.SecretsManager.UpdateSecretVersionStage(ctx, in)
	return explain("labelling a version of secret "+v.name, err)
}
