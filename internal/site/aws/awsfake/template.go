package awsfake

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// template is a launch template; its versions are numbered from 1 and never change.
type template struct {
	id, name string
	created  time.Time
	tags     tags
	versions []templateVersion
	tokens   map[string]int // versions by the token of the client that made them
}

type templateVersion struct {
	number      int
	created     time.Time
	description *string
	data        types.ResponseLaunchTemplateData
}

func (t *template) version(number string) *templateVersion {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(t.versions) {
		return nil
	}
	return &t.versions[n-1]
}

func (t *template) describe() *types.LaunchTemplate {
	return &types.LaunchTemplate{LaunchTemplateId: aws.String(t.id), LaunchTemplateName: aws.String(t.name), CreateTime: aws.Time(t.created),
		DefaultVersionNumber: aws.Int64(1), LatestVersionNumber: aws.Int64(int64(len(t.versions))), Tags: t.tags.list()}
}

func (t *template) describeVersion(v *templateVersion) (*types.LaunchTemplateVersion, error) {
	var data types.ResponseLaunchTemplateData
	err := copied(&data, v.data)
	return &types.LaunchTemplateVersion{LaunchTemplateId: aws.String(t.id), LaunchTemplateName: aws.String(t.name), CreateTime: aws.Time(v.created),
		DefaultVersion: aws.Bool(v.number == 1), VersionNumber: aws.Int64(int64(v.number)), VersionDescription: v.description, LaunchTemplateData: &data}, err
}

func (c *Cloud) template(id, name *string) (*template, error) {
	for _, t := range c.ec2.templates {
		if id != nil && t.id == *id || id == nil && name != nil && t.name == *name {
			return t, nil
		}
	}
	if id != nil {
		return nil, fail(400, "InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", *id)
	}
	return nil, fail(400, "InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", aws.ToString(name))
}

// add makes a version from what a request says, over a version that it starts from.
func (c *Cloud) add(t *template, source *templateVersion, data *types.RequestLaunchTemplateData, description *string) error {
	if data == nil {
		return fail(400, "MissingParameter", "The request must contain the parameter LaunchTemplateData")
	}
	if user, err := base64.StdEncoding.DecodeString(aws.ToString(data.UserData)); err != nil {
		return fail(400, "InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	} else if len(user) > 16384 {
		return fail(400, "InvalidParameterValue", "User data is limited to 16384 bytes")
	}
	v := templateVersion{number: len(t.versions) + 1, created: c.now, description: description}
	if source != nil {
		if err := copied(&v.data, source.data); err != nil {
			return err
		}
	}
	if err := copied(&v.data, data); err != nil {
		return err
	}
	t.versions = append(t.versions, v)
	return nil
}

// CreateLaunchTemplate implements the SDK's method.
func (e EC2) CreateLaunchTemplate(ctx ctx, in *ec2.CreateLaunchTemplateInput, _ ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateOutput, error) {
	return call(ctx, e.c, ec2ID, "CreateLaunchTemplate", write, in, func(in *ec2.CreateLaunchTemplateInput) (*ec2.CreateLaunchTemplateOutput, error) {
		if have, _ := e.c.template(nil, in.LaunchTemplateName); have != nil {
			return nil, fail(400, "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
		}
		t := &template{name: aws.ToString(in.LaunchTemplateName), created: e.c.now, tokens: map[string]int{},
			tags: tagsOf(in.TagSpecifications, types.ResourceTypeLaunchTemplate)}
		if err := e.c.add(t, nil, in.LaunchTemplateData, in.VersionDescription); err != nil {
			return nil, err
		}
		t.id = e.c.new("lt")
		e.c.ec2.templates[t.id] = t
		return &ec2.CreateLaunchTemplateOutput{LaunchTemplate: t.describe()}, nil
	})
}

// DeleteLaunchTemplate implements the SDK's method.
func (e EC2) DeleteLaunchTemplate(ctx ctx, in *ec2.DeleteLaunchTemplateInput, _ ...func(*ec2.Options)) (*ec2.DeleteLaunchTemplateOutput, error) {
	return call(ctx, e.c, ec2ID, "DeleteLaunchTemplate", write, in, func(in *ec2.DeleteLaunchTemplateInput) (*ec2.DeleteLaunchTemplateOutput, error) {
		t, err := e.c.template(in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return nil, err
		}
		delete(e.c.ec2.templates, t.id)
		return &ec2.DeleteLaunchTemplateOutput{LaunchTemplate: t.describe()}, nil
	})
}

// CreateLaunchTemplateVersion implements the SDK's method. The same client token
// gives the same version again.
func (e EC2) CreateLaunchTemplateVersion(ctx ctx, in *ec2.CreateLaunchTemplateVersionInput, _ ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateVersionOutput, error) {
	return call(ctx, e.c, ec2ID, "CreateLaunchTemplateVersion", write, in, func(in *ec2.CreateLaunchTemplateVersionInput) (*ec2.CreateLaunchTemplateVersionOutput, error) {
		t, err := e.c.template(in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return nil, err
		}
		number, again := t.tokens[aws.ToString(in.ClientToken)]
		if !again {
			source, err := t.source(in.SourceVersion)
			if err != nil {
				return nil, err
			}
			if err := e.c.add(t, source, in.LaunchTemplateData, in.VersionDescription); err != nil {
				return nil, err
			}
			number = len(t.versions)
			if in.ClientToken != nil {
				t.tokens[*in.ClientToken] = number
			}
		}
		v, err := t.describeVersion(&t.versions[number-1])
		return &ec2.CreateLaunchTemplateVersionOutput{LaunchTemplateVersion: v}, err
	})
}

// source is the version that another starts from; here alone may names be used
// for numbers, for the version that is made keeps what they meant.
func (t *template) source(version *string) (*templateVersion, error) {
	switch aws.ToString(version) {
	case "":
		return nil, nil
	case "$Latest":
		return &t.versions[len(t.versions)-1], nil
	case "$Default":
		return &t.versions[0], nil
	}
	if v := t.version(*version); v != nil {
		return v, nil
	}
	return nil, t.noVersion(*version)
}

func (t *template) noVersion(number string) error {
	return fail(400, "InvalidLaunchTemplateId.VersionNotFound", "Could not find launch template version %s", number)
}

// DescribeLaunchTemplates implements the SDK's method.
func (e EC2) DescribeLaunchTemplates(ctx ctx, in *ec2.DescribeLaunchTemplatesInput, _ ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplatesOutput, error) {
	return call(ctx, e.c, ec2ID, "DescribeLaunchTemplates", read, in, func(in *ec2.DescribeLaunchTemplatesInput) (*ec2.DescribeLaunchTemplatesOutput, error) {
		for _, id := range in.LaunchTemplateIds {
			if _, err := e.c.template(&id, nil); err != nil {
				return nil, err
			}
		}
		for _, name := range in.LaunchTemplateNames {
			if _, err := e.c.template(nil, &name); err != nil {
				return nil, err
			}
		}
		var found []types.LaunchTemplate
		for _, t := range made(e.c, e.c.ec2.templates) {
			ok, err := matches(in.Filters, map[string]string{"launch-template-name": t.name}, t.tags)
			if err != nil {
				return nil, err
			}
			if ok && (len(in.LaunchTemplateIds) == 0 || slices.Contains(in.LaunchTemplateIds, t.id)) &&
				(len(in.LaunchTemplateNames) == 0 || slices.Contains(in.LaunchTemplateNames, t.name)) {
				found = append(found, *t.describe())
			}
		}
		part, next, err := page(e.c, found, in.NextToken, in.MaxResults, 200)
		return &ec2.DescribeLaunchTemplatesOutput{LaunchTemplates: part, NextToken: next}, err
	})
}

// DescribeLaunchTemplateVersions implements the SDK's method; the newest comes first.
func (e EC2) DescribeLaunchTemplateVersions(ctx ctx, in *ec2.DescribeLaunchTemplateVersionsInput, _ ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
	return call(ctx, e.c, ec2ID, "DescribeLaunchTemplateVersions", read, in, func(in *ec2.DescribeLaunchTemplateVersionsInput) (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
		t, err := e.c.template(in.LaunchTemplateId, in.LaunchTemplateName)
		if err != nil {
			return nil, err
		}
		for _, asked := range in.Versions {
			if asked == "$Latest" || asked == "$Default" {
				return nil, moving(asked)
			}
			if t.version(asked) == nil {
				return nil, t.noVersion(asked)
			}
		}
		var found []types.LaunchTemplateVersion
		for i := len(t.versions) - 1; i >= 0; i-- {
			number := strconv.Itoa(t.versions[i].number)
			if len(in.Versions) > 0 && !slices.Contains(in.Versions, number) || outside(t.versions[i].number, in.MinVersion, in.MaxVersion) {
				continue
			}
			v, err := t.describeVersion(&t.versions[i])
			if err != nil {
				return nil, err
			}
			found = append(found, *v)
		}
		part, next, err := page(e.c, found, in.NextToken, in.MaxResults, 200)
		return &ec2.DescribeLaunchTemplateVersionsOutput{LaunchTemplateVersions: part, NextToken: next}, err
	})
}

func outside(n int, least, most *string) bool {
	low, err := strconv.Atoi(aws.ToString(least))
	if err == nil && n < low {
		return true
	}
	high, err := strconv.Atoi(aws.ToString(most))
	return err == nil && n > high
}

// moving refuses what AWS would take: a version that means another tomorrow.
func moving(version string) error {
	return fail(http.StatusBadRequest, "GodwitFakeRefuses",
		"launch template version %s moves under whoever is pinned to it: name the version by its number", version)
}
