package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"
)

// server answers the plugin protocol. What it does not implement, such as
// functions, lists and actions, the schema does not offer.
type server struct {
	tfprotov5.ProviderServer // the calls of kinds that are never offered

	schema   *providerSchema
	world    *world
	settings settings
}

func (s *server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	out := &tfprotov5.GetMetadataResponse{ServerCapabilities: capabilities()}
	for name := range s.schema.resources {
		out.Resources = append(out.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for name := range s.schema.data {
		out.DataSources = append(out.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return out, nil
}

func capabilities() *tfprotov5.ServerCapabilities {
	return &tfprotov5.ServerCapabilities{GetProviderSchemaOptional: true}
}

func (s *server) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	return &tfprotov5.GetProviderSchemaResponse{
		ServerCapabilities: capabilities(),
		Provider:           &tfprotov5.Schema{Block: s.schema.provider.wire("provider")},
		ResourceSchemas:    schemas(s.schema.resources),
		DataSourceSchemas:  schemas(s.schema.data),
	}, nil
}

func (s *server) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (s *server) GetFunctions(context.Context, *tfprotov5.GetFunctionsRequest) (*tfprotov5.GetFunctionsResponse, error) {
	return &tfprotov5.GetFunctionsResponse{}, nil
}

func (s *server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (s *server) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func (s *server) ConfigureProvider(_ context.Context, r *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	config, err := decode(r.Config, s.schema.provider.object())
	if err == nil {
		s.settings, err = readSettings(config)
	}
	return &tfprotov5.ConfigureProviderResponse{Diagnostics: failed("provider \"aws\"", err)}, nil
}

func (s *server) ValidateResourceTypeConfig(_ context.Context, r *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	b, err := s.resource(r.TypeName)
	if err != nil {
		return &tfprotov5.ValidateResourceTypeConfigResponse{Diagnostics: failed(r.TypeName, err)}, nil
	}
	config, err := decode(r.Config, b.object())
	if err != nil {
		return &tfprotov5.ValidateResourceTypeConfigResponse{Diagnostics: failed(r.TypeName, err)}, nil
	}
	return &tfprotov5.ValidateResourceTypeConfigResponse{Diagnostics: append(unconfigurable(b, config), checkRules(r.TypeName, config)...)}, nil
}

func (s *server) ValidateDataSourceConfig(_ context.Context, r *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	lazy, ok := s.schema.data[r.TypeName]
	if !ok {
		return &tfprotov5.ValidateDataSourceConfigResponse{Diagnostics: failed(r.TypeName, fmt.Errorf("no such data source"))}, nil
	}
	config, err := decode(r.Config, lazy.get().object())
	if err != nil {
		return &tfprotov5.ValidateDataSourceConfigResponse{Diagnostics: failed(r.TypeName, err)}, nil
	}
	return &tfprotov5.ValidateDataSourceConfigResponse{Diagnostics: unconfigurable(lazy.get(), config)}, nil
}

// UpgradeResourceState reads what a state file holds: its schema has one version.
func (s *server) UpgradeResourceState(_ context.Context, r *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	out := &tfprotov5.UpgradeResourceStateResponse{}
	b, err := s.resource(r.TypeName)
	if err == nil && r.RawState != nil {
		var v cty.Value
		if v, err = b.fromJSON(r.RawState.JSON); err == nil {
			out.UpgradedState, err = encode(v, b.object())
		}
	}
	out.Diagnostics = failed(r.TypeName, err)
	return out, nil
}

func (s *server) ReadResource(_ context.Context, r *tfprotov5.ReadResourceRequest) (*tfprotov5.ReadResourceResponse, error) {
	out := &tfprotov5.ReadResourceResponse{Private: r.Private}
	b, err := s.resource(r.TypeName)
	if err == nil {
		var prior, now cty.Value
		if prior, err = decode(r.CurrentState, b.object()); err == nil {
			if now, err = s.read(r.TypeName, b, prior); err == nil {
				out.NewState, err = encode(now, b.object())
			}
		}
	}
	out.Diagnostics = failed(r.TypeName, err)
	return out, nil
}

func (s *server) PlanResourceChange(_ context.Context, r *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	out := &tfprotov5.PlanResourceChangeResponse{PlannedPrivate: r.PriorPrivate}
	b, err := s.resource(r.TypeName)
	if err == nil {
		var c change
		if c, err = decodeChange(b, r.PriorState, r.ProposedNewState, r.Config); err == nil {
			planned, replace := s.plan(r.TypeName, b, c)
			for _, name := range replace {
				out.RequiresReplace = append(out.RequiresReplace, attributePath(name))
			}
			out.PlannedState, err = encode(planned, b.object())
		}
	}
	out.Diagnostics = failed(r.TypeName, err)
	return out, nil
}

func (s *server) ApplyResourceChange(_ context.Context, r *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.ApplyResourceChangeResponse, error) {
	out := &tfprotov5.ApplyResourceChangeResponse{Private: r.PlannedPrivate, NewState: r.PriorState}
	b, err := s.resource(r.TypeName)
	if err == nil {
		var c change
		var now cty.Value
		if c, err = decodeChange(b, r.PriorState, r.PlannedState, r.Config); err == nil {
			if now, err = s.apply(r.TypeName, b, c); err == nil {
				out.NewState, err = encode(now, b.object())
			}
		}
	}
	out.Diagnostics = failed(r.TypeName, err)
	return out, nil
}

func (s *server) ImportResourceState(_ context.Context, r *tfprotov5.ImportResourceStateRequest) (*tfprotov5.ImportResourceStateResponse, error) {
	return &tfprotov5.ImportResourceStateResponse{
		Diagnostics: failed(r.TypeName, fmt.Errorf("the schema provider imports nothing: declare it and apply")),
	}, nil
}

func (s *server) ReadDataSource(_ context.Context, r *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	out := &tfprotov5.ReadDataSourceResponse{}
	lazy, ok := s.schema.data[r.TypeName]
	if !ok {
		return &tfprotov5.ReadDataSourceResponse{Diagnostics: failed(r.TypeName, fmt.Errorf("no such data source"))}, nil
	}
	b := lazy.get()
	config, err := decode(r.Config, b.object())
	if err == nil {
		var found cty.Value
		if found, err = s.look(r.TypeName, b, config); err == nil {
			out.State, err = encode(found, b.object())
		}
	}
	out.Diagnostics = failed("data "+r.TypeName, err)
	return out, nil
}

func (s *server) resource(name string) (*block, error) {
	b, ok := s.schema.resources[name]
	if !ok {
		return nil, fmt.Errorf("no such resource type")
	}
	return b.get(), nil
}

// change is what a plan or an apply is about: a null prior is a creation, a null
// next a deletion.
type change struct{ prior, next, config cty.Value }

func decodeChange(b *block, prior, next, config *tfprotov5.DynamicValue) (change, error) {
	var c change
	var err error
	if c.prior, err = decode(prior, b.object()); err != nil {
		return c, err
	}
	if c.next, err = decode(next, b.object()); err != nil {
		return c, err
	}
	c.config, err = decode(config, b.object())
	return c, err
}

func decode(v *tfprotov5.DynamicValue, t cty.Type) (cty.Value, error) {
	if v == nil {
		return cty.NullVal(t), nil
	}
	if len(v.MsgPack) > 0 {
		return msgpack.Unmarshal(v.MsgPack, t)
	}
	return ctyjson.Unmarshal(v.JSON, t)
}

func encode(v cty.Value, t cty.Type) (*tfprotov5.DynamicValue, error) {
	raw, err := msgpack.Marshal(v, t)
	if err != nil {
		return nil, err
	}
	return &tfprotov5.DynamicValue{MsgPack: raw}, nil
}
