package packer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/site/aws/convention"
)

// PruneEC2 is what pruning asks of EC2.
type PruneEC2 interface {
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
	DescribeLaunchTemplates(context.Context, *ec2.DescribeLaunchTemplatesInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplatesOutput, error)
	DescribeLaunchTemplateVersions(context.Context, *ec2.DescribeLaunchTemplateVersionsInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error)
	DescribeSnapshots(context.Context, *ec2.DescribeSnapshotsInput, ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error)
	DeregisterImage(context.Context, *ec2.DeregisterImageInput, ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error)
	DeleteSnapshot(context.Context, *ec2.DeleteSnapshotInput, ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error)
}

// PruneAutoScaling tells which versions of launch templates groups use.
type PruneAutoScaling interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
}

// Pruning says which machine images of a service go.
type Pruning struct {
	Landscape, Service string
	Newest             int       // so many of the newest stay, whatever uses them; at least 1
	Releases           int       // so many releases of each environment can be rolled back to; at least 2
	Now                time.Time // what was made within the last day stays: a bake may be under way
	DryRun             bool      // only say what would go
}

// Pruned is what went, or would go, and why the rest stays. Lists are never nil.
type Pruned struct {
	Removed   []AMI    `json:"removed"`
	Kept      []Kept   `json:"kept"`
	Snapshots []string `json:"snapshots"` // removed: of the AMIs, and what an earlier pruning left
}

// Kept is a machine image that stays.
type Kept struct {
	AMI
	Why string `json:"why"`
}

// Prune removes old machine images of a service with their snapshots. One stays
// when a launch template that this godwit did not write names it, when a group or
// an instance uses it, when one of the last releases of an environment was made
// from it, or when it is among the newest.
func Prune(ctx context.Context, client PruneEC2, groups PruneAutoScaling, p Pruning) (Pruned, error) {
	if p.Newest < 1 || p.Releases < 2 {
		return Pruned{}, fmt.Errorf("%w: keep at least 1 machine image and 2 releases: a rollback needs the one before", ErrInvalid)
	}
	all, err := list(ctx, client, map[string]string{convention.TagLandscape: p.Landscape, convention.TagService: p.Service})
	if err != nil {
		return Pruned{}, err
	}
	used, err := p.uses(ctx, client, groups)
	if err != nil {
		return Pruned{}, fmt.Errorf("nothing was pruned, for it is not known what is in use: %w", err)
	}
	out := Pruned{Removed: []AMI{}, Kept: []Kept{}, Snapshots: []string{}}
	for i, ami := range all {
		why := used[ami.ID]
		switch {
		case why != "":
		case i < p.Newest:
			why = fmt.Sprintf("one of the %d newest", p.Newest)
		case p.Now.Sub(ami.Created) < 24*time.Hour:
			why = "not a day old"
		default:
			out.Removed = append(out.Removed, ami)
			continue
		}
		out.Kept = append(out.Kept, Kept{ami, why})
	}
	orphans, err := p.orphans(ctx, client, all)
	if err != nil {
		return Pruned{}, err
	}
	if p.DryRun {
		for _, ami := range out.Removed {
			out.Snapshots = append(out.Snapshots, ami.Snapshots...)
		}
		out.Snapshots = append(out.Snapshots, orphans...)
		return out, nil
	}
	return remove(ctx, client, out, orphans)
}

// remove takes each AMI before its snapshots: the other way round EC2 refuses.
// What could not be removed is said, and found again by the next pruning.
func remove(ctx context.Context, client PruneEC2, plan Pruned, orphans []string) (Pruned, error) {
	done := Pruned{Removed: []AMI{}, Kept: plan.Kept, Snapshots: []string{}}
	var problems []error
	snapshots := slices.Clone(orphans)
	for _, ami := range plan.Removed {
		if _, err := client.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: &ami.ID}); err != nil {
			problems = append(problems, explainAPI("deregistering "+ami.ID, err))
			continue
		}
		done.Removed = append(done.Removed, ami)
		snapshots = append(snapshots, ami.Snapshots...)
	}
	for _, id := range snapshots {
		if _, err := client.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &id}); err != nil {
			problems = append(problems, explainAPI("snapshot "+id+" is left, and costs money until the next pruning", err))
			continue
		}
		done.Snapshots = append(done.Snapshots, id)
	}
	return done, errors.Join(problems...)
}

// orphans are snapshots of bakes whose AMI is gone.
func (p Pruning) orphans(ctx context.Context, client PruneEC2, all []AMI) ([]string, error) {
	in := &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: []types.Filter{
		{Name: aws.String("tag:" + convention.TagLandscape), Values: []string{p.Landscape}},
		{Name: aws.String("tag:" + convention.TagService), Values: []string{p.Service}},
		{Name: aws.String("tag-key"), Values: []string{convention.TagBake}}}}
	var found []string
	for {
		out, err := client.DescribeSnapshots(ctx, in)
		if err != nil {
			return nil, explainAPI("looking for snapshots", err)
		}
		for _, s := range out.Snapshots {
			id := aws.ToString(s.SnapshotId)
			held := slices.ContainsFunc(all, func(a AMI) bool { return slices.Contains(a.Snapshots, id) })
			// An AMI that is not yet available has snapshots already.
			if !held && s.StartTime != nil && p.Now.Sub(*s.StartTime) > 24*time.Hour {
				found = append(found, id)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return found, nil
		}
	}
}

// uses says of AMIs why they stay.
func (p Pruning) uses(ctx context.Context, client PruneEC2, groups PruneAutoScaling) (map[string]string, error) {
	versions, err := everyVersion(ctx, client)
	if err != nil {
		return nil, err
	}
	used := map[string]string{}
	p.releases(versions, used)
	if err := groupVersions(ctx, groups, versions, used); err != nil {
		return nil, err
	}
	return used, instances(ctx, client, used)
}

// version of a launch template.
type version struct {
	template, name string
	number         int64
	latest         bool
	standard       bool
	ami            string
	userData       string
}

// releases keeps the AMIs of the last releases of every environment, whatever
// their launch templates are called; and those of versions that are no release of
// this landscape, for somebody else has a use for them.
func (p Pruning) releases(versions []version, used map[string]string) {
	type release struct {
		version
		number int
	}
	byEnvironment := map[string][]release{}
	for _, v := range versions {
		if v.ami == "" {
			continue
		}
		u, err := userData(v.userData)
		if err != nil || u.Landscape != p.Landscape || u.Service != p.Service {
			used[v.ami] = fmt.Sprintf("launch template %s names it", v.name)
			continue
		}
		byEnvironment[u.Environment] = append(byEnvironment[u.Environment], release{v, u.Release.Number})
	}
	for environment, all := range byEnvironment {
		slices.SortFunc(all, func(a, b release) int { return b.number - a.number })
		// Several versions may be of one release: releases are counted, not versions.
		numbers := map[int]bool{}
		for _, r := range all {
			if !numbers[r.number] && len(numbers) == p.Releases {
				break
			}
			numbers[r.number] = true
			used[r.ami] = fmt.Sprintf("release %d in %s can be rolled back to", r.number, environment)
		}
	}
}

func userData(encoded string) (convention.UserData, error) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return convention.UserData{}, err
	}
	return convention.DecodeUserData(b)
}

// everyVersion reads all versions of all launch templates of the region: there
// are a few per service.
func everyVersion(ctx context.Context, client PruneEC2) ([]version, error) {
	var all []version
	templates := &ec2.DescribeLaunchTemplatesInput{}
	for {
		out, err := client.DescribeLaunchTemplates(ctx, templates)
		if err != nil {
			return nil, explainAPI("looking for launch templates", err)
		}
		for _, t := range out.LaunchTemplates {
			of, err := versionsOf(ctx, client, t)
			if err != nil {
				return nil, err
			}
			all = append(all, of...)
		}
		if templates.NextToken = out.NextToken; aws.ToString(templates.NextToken) == "" {
			return all, nil
		}
	}
}

func versionsOf(ctx context.Context, client PruneEC2, t types.LaunchTemplate) ([]version, error) {
	var all []version
	in := &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: t.LaunchTemplateId}
	for {
		out, err := client.DescribeLaunchTemplateVersions(ctx, in)
		if err != nil {
			return nil, explainAPI("reading launch template "+aws.ToString(t.LaunchTemplateName), err)
		}
		for _, v := range out.LaunchTemplateVersions {
			n := aws.ToInt64(v.VersionNumber)
			one := version{template: aws.ToString(t.LaunchTemplateId), name: aws.ToString(t.LaunchTemplateName), number: n,
				latest: n == aws.ToInt64(t.LatestVersionNumber), standard: n == aws.ToInt64(t.DefaultVersionNumber)}
			if v.LaunchTemplateData != nil {
				one.ami, one.userData = aws.ToString(v.LaunchTemplateData.ImageId), aws.ToString(v.LaunchTemplateData.UserData)
			}
			all = append(all, one)
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

// is says whether a group that names a version means this one.
func (v version) is(template, name, number string) bool {
	if template != v.template && name != v.name {
		return false
	}
	switch number {
	case "$Latest":
		return v.latest
	case "$Default", "":
		return v.standard
	}
	return number == strconv.FormatInt(v.number, 10)
}
