package awsfake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
)

const rdsID = "RDS"

// RDS is the client of databases.
type RDS struct{ c *Cloud }

// RDS returns a client.
func (c *Cloud) RDS() RDS { return RDS{c} }

type database struct {
	id, engine, name, user, class, status string
	host                                  string // that a test has given it; "": AWS's own
	port                                  int32
	master                                *secret // that RDS keeps; nil: whoever made it has the password
	tags                                  tags
	created                               time.Time
}

// SetDatabase changes the status of a database: "available", "modifying", "storage-full", …
func (c *Cloud) SetDatabase(id, status string) {
	defer c.enter()()
	if d := c.rds[id]; d != nil {
		d.status = status
	}
}

// SetEndpoint gives a database another host, a name or an address, and port: those
// of a Postgres of the test's which stands for it.
func (c *Cloud) SetEndpoint(id, host string, port int32) error {
	defer c.enter()()
	d := c.rds[id]
	if d == nil {
		return noDatabase(id)
	}
	d.host, d.port = host, port
	c.change()
	return nil
}

// SetMaster changes the master user of a database and its password, in the secret
// that RDS keeps of them. Called again it is the rotation that RDS makes by itself.
func (c *Cloud) SetMaster(id, user, password string) error {
	defer c.enter()()
	d := c.rds[id]
	if d == nil {
		return noDatabase(id)
	}
	d.user = user
	c.change()
	return c.keepMaster(d, password)
}

// keepMaster puts a password into the secret of a database, which is made with the
// first one and tagged as RDS does.
func (c *Cloud) keepMaster(d *database, password string) error {
	if d.master == nil {
		c.serial++
		name := fmt.Sprintf("rds!db-00000000-0000-4000-8000-%012x", c.serial)
		d.master = &secret{name: name, arn: c.arn("secretsmanager", "secret:%s-fake00", name),
			tags: tags{"aws:rds:primaryDBInstanceArn": c.arn("rds", "db:%s", d.id), "aws:secretsmanager:owningService": "rds"}}
		c.secrets[name] = d.master
	}
	body, err := json.Marshal(map[string]string{"username": d.user, "password": password})
	if err != nil {
		return err
	}
	_, err = d.master.put(c, nil, aws.String(string(body)), nil)
	return err
}

func (d *database) describe(c *Cloud) types.DBInstance {
	out := types.DBInstance{DBInstanceIdentifier: aws.String(d.id), Engine: aws.String(d.engine), DBName: aws.String(d.name), MasterUsername: aws.String(d.user),
		DBInstanceClass: aws.String(d.class), DBInstanceStatus: aws.String(d.status), DBInstanceArn: aws.String(c.arn("rds", "db:%s", d.id))}
	for _, t := range d.tags.list() {
		out.TagList = append(out.TagList, types.Tag{Key: t.Key, Value: t.Value})
	}
	if d.status != "creating" { // until then it has none
		host := cmp.Or(d.host, d.id+".fake."+c.options.Region+".rds.amazonaws.com")
		out.Endpoint = &types.Endpoint{Address: aws.String(host), Port: aws.Int32(d.port)}
	}
	if d.master != nil {
		out.MasterUserSecret = &types.MasterUserSecret{SecretArn: aws.String(d.master.arn), SecretStatus: aws.String("active")}
		if d.status == "creating" {
			out.MasterUserSecret.SecretStatus = aws.String("creating")
		}
	}
	return out
}

func noDatabase(id string) error {
	return &types.DBInstanceNotFoundFault{Message: aws.String("DBInstance " + id + " not found.")}
}

// CreateDBInstance implements the SDK's method. It is creating for as long as a machine boots.
func (r RDS) CreateDBInstance(ctx ctx, in *rds.CreateDBInstanceInput, _ ...func(*rds.Options)) (*rds.CreateDBInstanceOutput, error) {
	return call(ctx, r.c, rdsID, "CreateDBInstance", write, in, func(in *rds.CreateDBInstanceInput) (*rds.CreateDBInstanceOutput, error) {
		id := aws.ToString(in.DBInstanceIdentifier)
		if r.c.rds[id] != nil {
			return nil, &types.DBInstanceAlreadyExistsFault{Message: aws.String("DB instance already exists")}
		}
		d := &database{id: id, engine: aws.ToString(in.Engine), name: aws.ToString(in.DBName), user: aws.ToString(in.MasterUsername), class: aws.ToString(in.DBInstanceClass),
			status: "creating", port: cmp.Or(aws.ToInt32(in.Port), 5432), created: r.c.now, tags: tags{}}
		for _, t := range in.Tags {
			d.tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		if aws.ToBool(in.ManageMasterUserPassword) {
			if in.MasterUserPassword != nil {
				return nil, fail(400, "InvalidParameterCombination", "You can't specify MasterUserPassword when RDS manages it in Secrets Manager.")
			}
			if err := r.c.keepMaster(d, r.c.id("password")); err != nil {
				return nil, err
			}
		}
		r.c.rds[id] = d
		r.c.after(r.c.options.Boot, func() { d.status = "available" })
		out := d.describe(r.c)
		return &rds.CreateDBInstanceOutput{DBInstance: &out}, nil
	})
}

// DescribeDBInstances implements the SDK's method.
func (r RDS) DescribeDBInstances(ctx ctx, in *rds.DescribeDBInstancesInput, _ ...func(*rds.Options)) (*rds.DescribeDBInstancesOutput, error) {
	return call(ctx, r.c, rdsID, "DescribeDBInstances", exact, in, func(in *rds.DescribeDBInstancesInput) (*rds.DescribeDBInstancesOutput, error) {
		if in.DBInstanceIdentifier != nil && r.c.rds[*in.DBInstanceIdentifier] == nil {
			return nil, noDatabase(*in.DBInstanceIdentifier)
		}
		var found []types.DBInstance
		for _, id := range sorted(r.c.rds) {
			ok := in.DBInstanceIdentifier == nil || *in.DBInstanceIdentifier == id
			for _, f := range in.Filters {
				if aws.ToString(f.Name) != "db-instance-id" {
					return nil, fail(400, "GodwitFakeRefuses", "the fake filters databases by db-instance-id only")
				}
				ok = ok && slices.Contains(f.Values, id)
			}
			if ok {
				found = append(found, r.c.rds[id].describe(r.c))
			}
		}
		part, next, err := page(r.c, found, in.Marker, in.MaxRecords, 100)
		return &rds.DescribeDBInstancesOutput{DBInstances: part, Marker: next}, err
	})
}

// DeleteDBInstance implements the SDK's method.
func (r RDS) DeleteDBInstance(ctx ctx, in *rds.DeleteDBInstanceInput, _ ...func(*rds.Options)) (*rds.DeleteDBInstanceOutput, error) {
	return call(ctx, r.c, rdsID, "DeleteDBInstance", write, in, func(in *rds.DeleteDBInstanceInput) (*rds.DeleteDBInstanceOutput, error) {
		id := aws.ToString(in.DBInstanceIdentifier)
		d := r.c.rds[id]
		if d == nil {
			return nil, noDatabase(id)
		}
		delete(r.c.rds, id)
		if d.master != nil {
			delete(r.c.secrets, d.master.name)
		}
		out := d.describe(r.c)
		return &rds.DeleteDBInstanceOutput{DBInstance: &out}, nil
	})
}
