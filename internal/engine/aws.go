package engine

import (
	"context"

	"godwit/internal/api"
	"godwit/internal/site"
	"godwit/internal/site/aws"
)

// openAWS opens the site on AWS. Credentials are read as every tool for AWS
// does; AWS itself is asked nothing yet. Whoever migrates needs pg_dump.
func openAWS(ctx context.Context, _ *Engine, w *world, sink api.Sink) (site.Site, error) {
	if w.landscape.AWS == nil {
		return nil, api.Fail(api.Usage, `the landscape says nothing of AWS: add aws { region = "eu-central-1" … }`)
	}
	if _, err := ensurePostgres(ctx, sink); err != nil {
		return nil, err
	}
	o := w.settings.AWS
	config, err := aws.Connect(ctx, w.landscape.AWS.Region, o.Endpoint, aws.Access{Profile: o.Profile, KeyID: o.Keys.ID, Secret: o.Keys.Secret, Session: o.Keys.Session})
	if err != nil {
		return nil, err
	}
	return aws.New(aws.NewClients(config), aws.Options{Landscape: w.landscape, Region: w.landscape.AWS.Region, DatabaseCA: o.DatabaseCA}), nil
}
