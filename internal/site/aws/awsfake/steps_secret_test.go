package awsfake_test

import (
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// secretVersions are what releases keep their values in.
func secretVersions() []step {
	name := sdk.String("bistro/test/service/till")
	token := func(n string) *string { return sdk.String(strings.Repeat(n, 32)) }
	get := func(in secretsmanager.GetSecretValueInput) func(*side) (any, error) {
		in.SecretId = name
		return func(s *side) (any, error) { return s.SecretsManager.GetSecretValue(ctx, &in) }
	}
	put := func(in secretsmanager.PutSecretValueInput) func(*side) (any, error) {
		in.SecretId = name
		return func(s *side) (any, error) { return s.SecretsManager.PutSecretValue(ctx, &in) }
	}
	move := func(label string, from, to *string) func(*side) (any, error) {
		return func(s *side) (any, error) {
			return s.SecretsManager.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: name,
				VersionStage: &label, RemoveFromVersionId: from, MoveToVersionId: to})
		}
	}
	describe := func(s *side) (any, error) {
		return s.SecretsManager.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: name})
	}
	arn := map[string]string{".ARN": "each has a suffix of its own"}
	stuck := map[string]string{".ARN": "each has a suffix of its own", ".VersionId": "moto goes on reading the first", ".SecretString": "as above", ".VersionStages": "as above"}
	return []step{
		{name: "CreateSecret of a service", do: func(s *side) (any, error) {
			return s.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name})
		}, differs: arn},
		{name: "PutSecretValue with a short token", do: put(secretsmanager.PutSecretValueInput{SecretString: sdk.String("one"), ClientRequestToken: sdk.String("short")})},
		{name: "PutSecretValue first", do: put(secretsmanager.PutSecretValueInput{SecretString: sdk.String("one"), ClientRequestToken: token("1"), VersionStages: []string{"godwit-1"}}), differs: arn},
		{name: "PutSecretValue second", do: put(secretsmanager.PutSecretValueInput{SecretString: sdk.String("two"), ClientRequestToken: token("2"), VersionStages: []string{"godwit-2"}}), differs: arn},
		{name: "PutSecretValue second again", do: put(secretsmanager.PutSecretValueInput{SecretString: sdk.String("two"), ClientRequestToken: token("2"), VersionStages: []string{"godwit-2"}}), differs: arn},
		{name: "PutSecretValue second, changed", do: put(secretsmanager.PutSecretValueInput{SecretString: sdk.String("other"), ClientRequestToken: token("2")})},
		{name: "PutSecretValue third", do: put(secretsmanager.PutSecretValueInput{SecretString: sdk.String("three"), ClientRequestToken: token("3"), VersionStages: []string{"godwit-3"}}), differs: arn},
		{name: "DescribeSecret with versions", do: describe, differs: arn},
		{name: "GetSecretValue current", do: get(secretsmanager.GetSecretValueInput{}), differs: arn},
		{name: "GetSecretValue by version", do: get(secretsmanager.GetSecretValueInput{VersionId: token("2")}), differs: arn},
		{name: "GetSecretValue by label", do: get(secretsmanager.GetSecretValueInput{VersionStage: sdk.String("godwit-3")}), differs: arn},
		{name: "GetSecretValue by both", do: get(secretsmanager.GetSecretValueInput{VersionId: token("2"), VersionStage: sdk.String("godwit-2")}), differs: arn},
		{name: "GetSecretValue by two", do: get(secretsmanager.GetSecretValueInput{VersionId: token("2"), VersionStage: sdk.String("godwit-3")})},
		{name: "GetSecretValue of no version", do: get(secretsmanager.GetSecretValueInput{VersionId: token("9")})},
		{name: "GetSecretValue of no label", do: get(secretsmanager.GetSecretValueInput{VersionStage: sdk.String("godwit-9")})},
		{name: "UpdateSecretVersionStage to no version", do: move("godwit-4", nil, token("9"))},
		{name: "UpdateSecretVersionStage from no version", do: move("godwit-1", token("9"), nil)},
		{name: "UpdateSecretVersionStage from another", do: move("godwit-1", token("2"), nil)},
		{name: "UpdateSecretVersionStage current from nowhere", do: move("AWSCURRENT", nil, token("2"))},
		{name: "UpdateSecretVersionStage current", do: move("AWSCURRENT", token("1"), token("2")), differs: arn},
		{name: "DescribeSecret once another is current", do: describe, differs: arn},
		{name: "GetSecretValue once another is current", do: get(secretsmanager.GetSecretValueInput{}), differs: stuck},
		{name: "UpdateSecretVersionStage removes", do: move("godwit-3", token("3"), nil), differs: arn},
		{name: "GetSecretValue without a label", do: get(secretsmanager.GetSecretValueInput{VersionId: token("3")}), differs: arn},
		{name: "UpdateSecretVersionStage adds", do: move("godwit-3", nil, token("3")), differs: arn},
		{name: "DescribeSecret in the end", do: describe, differs: arn},
	}
}
