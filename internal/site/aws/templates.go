package aws

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// template is a launch template. Its versions are numbered and never change:
// those that godwit made are releases.
type template struct {
	id, name string
	latest   string // number of the newest version
}

// templateVersion is a version of a launch template.
type templateVersion struct {
	number   string
	image    string // AMI
	instance string // type
	userData string // base64
}

// document is the release that a version stands for; false when it is none of godwit's.
func (v templateVersion) document() (convention.UserData, bool) {
	raw, err := base64.StdEncoding.DecodeString(v.userData)
	if err != nil {
		return convention.UserData{}, false
	}
	u, err := convention.DecodeUserData(raw)
	return u, err == nil
}

func (s *Site) template(ctx context.Context, scope convention.Scope, service string) (template, error) {
	name := scope.LaunchTemplate(service)
	out, err := s.clients.EC2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{name}})
	if err != nil {
		return template{}, explain("looking for launch template "+name, err)
	}
	if len(out.LaunchTemplates) == 0 {
		return template{}, fmt.Errorf("launch template %s is not there: run `godwit aws apply`: %w", name, site.ErrNotFound)
	}
	t := out.LaunchTemplates[0]
	return template{id: aws.ToString(t.LaunchTemplateId), name: name, latest: strconv.FormatInt(aws.ToInt64(t.LatestVersionNumber), 10)}, nil
}

// versions are those with the given numbers, or all when none are given, the newest first.
func (s *Site) versions(ctx context.Context, templateID string, numbers ...string) ([]templateVersion, error) {
	var all []templateVersion
	err := pages(func(token *string) (*string, error) {
		out, err := s.clients.EC2.DescribeLaunchTemplateVersions(ctx,
			&ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: &templateID, Versions: numbers, NextToken: token})
		if err != nil {
			return nil, explain("reading versions of launch template "+templateID, err)
		}
		for _, v := range out.LaunchTemplateVersions {
			all = append(all, readVersion(v))
		}
		return out.NextToken, nil
	})
	slices.SortFunc(all, func(a, b templateVersion) int { return number(b.number) - number(a.number) })
	return all, err
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func readVersion(v types.LaunchTemplateVersion) templateVersion {
	out := templateVersion{number: strconv.FormatInt(aws.ToInt64(v.VersionNumber), 10)}
	if d := v.LaunchTemplateData; d != nil {
		out.image, out.instance, out.userData = aws.ToString(d.ImageId), string(d.InstanceType), aws.ToString(d.UserData)
	}
	return out
}

// version finds the version that stands for a release in a place, or makes it.
// It is made from the newest one, which has what Terraform declared last, and
// with it what a release does not say: type, volumes, security groups. A version
// that is there already is taken as it is: so a release comes back unchanged.
func (s *Site) version(ctx context.Context, t template, pinned, ami string, u convention.UserData) (templateVersion, error) {
	raw, err := u.Encode()
	if err != nil {
		return templateVersion{}, fmt.Errorf("%w: %w", err, site.ErrInvalid)
	}
	want := templateVersion{image: ami, userData: base64.StdEncoding.EncodeToString(raw)}
	all, err := s.versions(ctx, t.id)
	if err != nil {
		return templateVersion{}, err
	}
	// The pinned one first: several may say the same when Terraform added one.
	slices.SortStableFunc(all, func(a, b templateVersion) int { return of(b.number == pinned) - of(a.number == pinned) })
	if i := slices.IndexFunc(all, func(v templateVersion) bool { return v.image == want.image && v.userData == want.userData }); i >= 0 {
		return all[i], nil
	}
	out, err := s.clients.EC2.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: &t.id,
		SourceVersion: &t.latest, VersionDescription: aws.String(fmt.Sprintf("godwit release %d", u.Release.Number)),
		LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: &want.image, UserData: &want.userData}})
	if err != nil {
		return templateVersion{}, explain(fmt.Sprintf("making a version of launch template %s for release %d", t.name, u.Release.Number), err)
	}
	made := readVersion(*out.LaunchTemplateVersion)
	if made.image == "" || made.instance == "" {
		read, err := s.versions(ctx, t.id, made.number)
		if err != nil {
			return templateVersion{}, err
		}
		made = read[0]
	}
	return made, nil
}

func of(b bool) int {
	if b {
		return 1
	}
	return 0
}

// documents are the releases that versions of a template stand for, by number of
// the version. Those that are none of godwit's are left out.
func (s *Site) documents(ctx context.Context, templateID string, numbers []string) (map[string]convention.UserData, error) {
	numbers = slices.DeleteFunc(slices.Clone(numbers), func(n string) bool { return n == "" })
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	found := map[string]convention.UserData{}
	if templateID == "" || len(numbers) == 0 {
		return found, nil
	}
	all, err := s.versions(ctx, templateID, numbers...)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if u, ok := v.document(); ok {
			found[v.number] = u
		}
	}
	return found, nil
}
