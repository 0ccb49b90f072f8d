package terraform

import (
	"strconv"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"

	"godwit/internal/site/aws/terraform/tofutest"
)

// callDatabase is a root with a database that must not be lost, one that may be,
// and the way to the data centre.
const callDatabase = `
provider "aws" {
  region = "eu-central-1"
}

variable "engine_version" {
  type    = string
  default = "17"
}

module "database" {
  for_each = { kept = 50, lost = 40000 }

  source             = "../modules/database"
  name               = "till-${each.key}"
  identifier         = "bistro-${each.key}-till"
  secret_name        = "bistro/${each.key}/database/till"
  vpc_id             = "vpc-1"
  subnet_ids         = ["subnet-1", "subnet-2"]
  security_group_ids = ["sg-1"]
  class              = "db.t4g.medium"
  storage            = each.value
  multi_az           = true
  protected          = each.key == "kept"
  key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/k"
  topic_arn          = "arn:aws:sns:eu-central-1:123456789012:t"
  boundary_arn       = "arn:aws:iam::123456789012:policy/boundary"
  engine_version     = var.engine_version
}

module "vpn" {
  source          = "../modules/vpn"
  prefix          = "bistro-kept"
  vpc_id          = "vpc-1"
  gateway_address = "198.51.100.1"
  source_network  = "192.168.10.0/24"
  route_table_ids = ["rtb-1", "rtb-2"]
  key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/k"
}
`

func TestDatabaseModule(t *testing.T) {
	t.Parallel()
	tree := Tree{}
	if err := addModules(tree); err != nil {
		t.Fatal(err)
	}
	f := newFile()
	writeVersions(f)
	tree["data/main.tf"] = append(f.bytes(), callDatabase...)
	w := tofutest.New(t, tree)
	w.Init("data")
	w.Apply("data", nil)
	w.Same("data", nil)
	all := made(t, w.State("data"))

	for which, want := range map[string]map[string]any{
		"kept": {"deletion_protection": true, "backup_retention_period": "35", "delete_automated_backups": false, "max_allocated_storage": "200", "db_name": "till_kept"},
		"lost": {"deletion_protection": false, "backup_retention_period": "7", "delete_automated_backups": true, "max_allocated_storage": "0", "db_name": "till_lost"},
	} {
		database := all[`module.database["`+which+`"].aws_db_instance.this`]
		for name, value := range want {
			if got := plain(database.AttributeValues[name]); got != plain(value) {
				t.Errorf("%s of %s is %v, want %v", name, which, got, value)
			}
		}
		if got := parameters(all[`module.database["`+which+`"].aws_db_parameter_group.this`])["rds.logical_replication"]; got != "1 pending-reboot" {
			t.Errorf("logical replication of %s is %q", which, got)
		}
		role := all[`module.database["`+which+`"].aws_iam_role.monitoring`]
		if role.AttributeValues["permissions_boundary"] != "arn:aws:iam::123456789012:policy/boundary" {
			t.Errorf("the role of %s is not bounded", which)
		}
	}
	for address, r := range all {
		if r.Type == "aws_secretsmanager_secret_version" || r.AttributeValues["password"] != nil || r.AttributeValues["tunnel1_preshared_key"] != nil && r.AttributeValues["tunnel1_preshared_key"] != "" {
			t.Errorf("%s brings a secret into the state", address)
		}
	}
	w.Refused("data", []string{"plan", "-input=false", "-no-color", "-var=engine_version=17.4"}, "the minor one is chosen by RDS")
	w.Refused("data", []string{"plan", "-input=false", "-no-color", "-var=engine_version=15"}, "Write a major version")
}

// plain is a value as text: numbers come in several types.
func plain(v any) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case interface{ String() string }:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return v
	}
	return ""
}

// parameters are those of a group, with when they hold.
func parameters(group *tfjson.StateResource) map[string]string {
	all := map[string]string{}
	blocks, _ := group.AttributeValues["parameter"].([]any)
	for _, b := range blocks {
		p, _ := b.(map[string]any)
		all[plain(p["name"])] = plain(p["value"]) + " " + plain(p["apply_method"])
	}
	return all
}
