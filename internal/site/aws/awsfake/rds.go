package awsfake

import (
	"cmp"
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
	port                                  int32
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

func (d *database) describe(c *Cloud) types.DBInstance {
	out := types.DBInstance{DBInstanceIdentifier: aws.String(d.id), Engine: aws.String(d.engine), DBName: aws.String(d.name), MasterUsername: aws.String(d.user),
		DBInstanceClass: aws.String(d.class), DBInstanceStatus: aws.String(d.status), DBInstanceArn: aws.String(c.arn("rds", "db:%s", d.id))}
	for _, t := range d.tags.list() {
		out.TagList = append(out.TagList, types.Tag{Key: t.Key, Value: t.Value})
	}
	if d.status != "creating" { // until then it has none
		out.Endpoint = &types.Endpoint{Address: aws.String(d.id + ".fake." + c.options.Region + ".rds.amazonaws.com"), Port: aws.Int32(d.port)}
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
		out := d.describe(r.c)
		return &rds.DeleteDBInstanceOutput{DBInstance: &out}, nil
	})
}
