//go:build linux

package packer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/fleet"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
)

// orchard is an account of an emulator with machine images in it.
type orchard struct {
	t      *testing.T
	ec2    *ec2.Client
	groups *autoscaling.Client
	source string
}

func newOrchard(t *testing.T) *orchard {
	m := awstest.StartMoto(t)
	o := &orchard{t: t, ec2: ec2.NewFromConfig(m.Config(t)), groups: autoscaling.NewFromConfig(m.Config(t))}
	o.source = o.instance("ami-0b3d6c3e22250b392")
	return o
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (o *orchard) instance(ami string) string {
	out := must(o.ec2.RunInstances(o.t.Context(), &ec2.RunInstancesInput{ImageId: &ami, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), InstanceType: types.InstanceTypeT3Small}))(o.t)
	return *out.Instances[0].InstanceId
}

// ami is a machine image of a service, the higher its number the younger.
func (o *orchard) ami(service string, number int) string {
	o.t.Helper()
	tags := []types.Tag{
		{Key: aws.String(convention.TagLandscape), Value: aws.String("bistro")}, {Key: aws.String(convention.TagService), Value: &service},
		{Key: aws.String(convention.TagBake), Value: aws.String("x")},
		{Key: aws.String(convention.TagBakedAt), Value: aws.String(time.Date(2026, 1, 1, 0, number, 0, 0, time.UTC).Format(time.RFC3339))}}
	out := must(o.ec2.CreateImage(o.t.Context(), &ec2.CreateImageInput{InstanceId: &o.source, Name: aws.String(fmt.Sprintf("%s-%d", service, number)),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeImage, Tags: tags}}}))(o.t)
	image := must(o.ec2.DescribeImages(o.t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*out.ImageId}}))(o.t).Images[0]
	for _, s := range amiOf(image).Snapshots {
		must(o.ec2.CreateTags(o.t.Context(), &ec2.CreateTagsInput{Resources: []string{s}, Tags: tags}))(o.t)
	}
	return *out.ImageId
}

// release is a version of a launch template that starts a release.
func (o *orchard) release(environment string, number int, ami string) {
	u := convention.UserData{Godwit: convention.UserDataVersion, Landscape: "bistro", Environment: environment, Service: "till", Release: fleet.Release{Number: number}}
	b := must(u.Encode())(o.t)
	o.version(convention.Scope{Landscape: "bistro", Environment: environment}.LaunchTemplate("till"), ami, base64.StdEncoding.EncodeToString(b))
}

func (o *orchard) version(template, ami, userData string) {
	o.t.Helper()
	data := &types.RequestLaunchTemplateData{ImageId: &ami, UserData: &userData}
	_, err := o.ec2.CreateLaunchTemplateVersion(o.t.Context(), &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateName: &template, LaunchTemplateData: data})
	if err != nil {
		must(o.ec2.CreateLaunchTemplate(o.t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: &template, LaunchTemplateData: data}))(o.t)
	}
}

func (o *orchard) group(template, version string) {
	must(o.groups.CreateAutoScalingGroup(o.t.Context(), &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: aws.String("bistro-production-till-green"),
		MinSize: aws.Int32(0), MaxSize: aws.Int32(0), AvailabilityZones: []string{awstest.Region + "a"},
		LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateName: &template, Version: &version}}))(o.t)
}

// TestPrune: whatever may be rolled back to stays, and so do its snapshots.
func TestPrune(t *testing.T) {
	t.Parallel()
	o := newOrchard(t)
	ami := map[string]string{}
	for i, name := range []string{"forgotten", "held", "release 1", "release 2", "release 3", "staged", "foreign", "running", "old", "newest"} {
		ami[name] = o.ami("till", i)
	}
	menu := o.ami("menu", 0)
	o.release("production", 1, ami["release 1"])
	o.release("production", 2, ami["held"])
	o.release("production", 3, ami["release 2"])
	o.release("production", 3, ami["release 2"])
	o.release("production", 4, ami["release 3"])
	o.release("stage", 1, ami["staged"])
	o.version("somebody-elses", ami["foreign"], "")
	o.group("bistro-production-till", "2")
	o.instance(ami["running"])
	p := Pruning{Landscape: "bistro", Service: "till", Newest: 1, Releases: 2, Now: time.Now().Add(48 * time.Hour), DryRun: true}
	wantGone := []string{ami["forgotten"], ami["release 1"], ami["old"]}
	check := func(got Pruned, err error) {
		t.Helper()
		var gone []string
		for _, a := range got.Removed {
			gone = append(gone, a.ID)
		}
		slices.Sort(gone)
		slices.Sort(wantGone)
		if err != nil || !slices.Equal(gone, wantGone) || len(got.Kept) != 7 || len(got.Snapshots) != 3 {
			t.Fatalf("%v\n%+v\n%v", err, got, ami)
		}
	}
	check(Prune(t.Context(), o.ec2, o.groups, p))
	if n := len(must(list(t.Context(), o.ec2, map[string]string{convention.TagService: "till"}))(t)); n != 10 {
		t.Fatalf("a dry run left %d", n)
	}
	p.DryRun = false
	got, err := Prune(t.Context(), o.ec2, o.groups, p)
	check(got, err)
	for _, k := range got.Kept {
		if k.Why == "" {
			t.Errorf("%s stays without a reason", k.ID)
		}
	}
	left := must(list(t.Context(), o.ec2, map[string]string{convention.TagLandscape: "bistro"}))(t)
	if len(left) != 8 || !slices.ContainsFunc(left, func(a AMI) bool { return a.ID == menu }) {
		t.Errorf("left %+v", left)
	}
	for _, a := range left {
		if out, err := o.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: a.Snapshots}); err != nil || len(out.Snapshots) == 0 {
			t.Errorf("snapshots of %s: %v", a.ID, err)
		}
	}
}

// stubborn fails where it is told to.
type stubborn struct {
	PruneEC2
	fail string
}

func (s stubborn) DeleteSnapshot(ctx context.Context, in *ec2.DeleteSnapshotInput, o ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error) {
	if s.fail == "snapshot" {
		return nil, errors.New("no")
	}
	return s.PruneEC2.DeleteSnapshot(ctx, in, o...)
}

func (s stubborn) DescribeLaunchTemplateVersions(ctx context.Context, in *ec2.DescribeLaunchTemplateVersionsInput, o ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
	if s.fail == "versions" {
		return nil, errors.New("no")
	}
	return s.PruneEC2.DescribeLaunchTemplateVersions(ctx, in, o...)
}

// TestPruneFails: without knowing what is in use nothing goes, and what an
// interrupted pruning left is found by the next one.
func TestPruneFails(t *testing.T) {
	t.Parallel()
	o := newOrchard(t)
	for i := range 4 {
		o.ami("till", i)
	}
	o.version("somebody-elses", "ami-0b3d6c3e22250b392", "")
	p := Pruning{Landscape: "bistro", Service: "till", Newest: 2, Releases: 2, Now: time.Now()}
	if got, err := Prune(t.Context(), stubborn{o.ec2, "versions"}, o.groups, p); err == nil || !strings.Contains(err.Error(), "nothing was pruned") || len(got.Removed) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	p.Now = time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)
	if got, err := Prune(t.Context(), o.ec2, o.groups, p); err != nil || len(got.Removed) > 0 {
		t.Errorf("of today: %+v, %v", got, err)
	}
	p.Now = time.Now().Add(48 * time.Hour)
	if got, err := Prune(t.Context(), stubborn{o.ec2, "snapshot"}, o.groups, p); err == nil || !strings.Contains(err.Error(), "until the next pruning") || len(got.Removed) != 2 || len(got.Snapshots) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Prune(t.Context(), o.ec2, o.groups, p); err != nil || len(got.Removed) > 0 || len(got.Snapshots) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []Pruning{{Newest: 0, Releases: 2}, {Newest: 1, Releases: 1}} {
		if _, err := Prune(t.Context(), o.ec2, o.groups, bad); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	}
}
