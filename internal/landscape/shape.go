package landscape

import "maps"

// shape says what a block may hold. The shapes below are the language.
type shape struct {
	label  bool // has a name
	once   bool // at most once in its parent
	attrs  map[string]attr
	blocks map[string]*shape
}

// attr is an attribute of a block.
type attr struct {
	required bool
	example  string // as it would be written, for mends
}

var queryShape = &shape{label: true, attrs: map[string]attr{
	"database": {required: true, example: "database.till"},
	"query":    {required: true, example: `"SELECT …"`},
}}

var endpointShape = &shape{label: true, attrs: map[string]attr{
	"url": {required: true, example: "env.DATACENTER_URL"},
}}

var rootShape = &shape{blocks: map[string]*shape{
	"landscape": {label: true, once: true},
	"environment": {label: true, attrs: map[string]attr{
		"network":   {required: true, example: `"10.30.0.0/16"`},
		"protected": {example: "true"},
	}},
	"service": serviceShape,
	"database": {label: true, attrs: map[string]attr{
		"engine": {required: true, example: `"postgres"`},
	}},
	"ingress": {label: true, attrs: map[string]attr{
		"host":    {required: true, example: `"till.bistro.example"`},
		"service": {required: true, example: "service.till"},
	}},
	"source": {label: true, blocks: map[string]*shape{
		"service":  endpointShape,
		"database": endpointShape,
	}},
	"migration": {label: true, attrs: map[string]attr{
		"from":      {required: true, example: "source.datacenter"},
		"to":        {required: true, example: "environment.production"},
		"max_pause": {example: `"2s"`},
		"keep_wal":  {example: `"8GB"`},
		"keys":      {example: `"auto"`},
		"unlogged":  {example: `"empty"`},
	}},
	"probe": {label: true,
		attrs: map[string]attr{"ingress": {required: true, example: "ingress.till"}},
		blocks: map[string]*shape{
			"ledger":    queryShape,
			"invariant": queryShape,
			"request": {label: true, attrs: map[string]attr{
				"method":  {example: `"POST"`},
				"path":    {required: true, example: `"/orders"`},
				"weight":  {example: "1"},
				"headers": {example: `{ Accept = "application/json" }`},
				"body":    {example: `"{}"`},
				"ledger":  {example: `"orders"`},
			}},
		}},
	"pipeline": {label: true,
		attrs:  map[string]attr{"services": {required: true, example: "[service.till, service.menu]"}},
		blocks: map[string]*shape{"stage": stageShape},
	},
	"shield": {
		attrs: map[string]attr{
			"rate":   {example: "2000"},
			"window": {example: `"5m"`},
			"rules":  {example: `["common", "known-bad-inputs"]`},
		},
		blocks: map[string]*shape{"limit": {label: true, attrs: map[string]attr{
			"path": {required: true, example: `"/orders"`},
			"rate": {required: true, example: "300"},
		}}},
	},
	"aws": awsShape,
}}

var peakShape = &shape{label: true, attrs: map[string]attr{
	"days":     {example: `["fri", "sat"]`},
	"from":     {required: true, example: `"17:30"`},
	"until":    {required: true, example: `"01:00"`},
	"timezone": {example: `"Europe/Berlin"`},
	"min":      {required: true, example: "6"},
}}

var stageShape = &shape{label: true, attrs: map[string]attr{
	"run":         {example: `["go", "test", "./..."]`},
	"dir":         {example: `"."`},
	"each":        {example: "true"},
	"build":       {example: "true"},
	"bake":        {example: "true"},
	"deploy":      {example: "environment.test"},
	"probe":       {example: "probe.tills"},
	"environment": {example: "environment.test"},
	"duration":    {example: `"10s"`},
	"rate":        {example: "20"},
	"approve":     {example: `"Release to production?"`},
	"approvals":   {example: "2"},
	"four_eyes":   {example: "true"},
	"valid":       {example: `"24h"`},
	"timeout":     {example: `"30m"`},
}}

// sizingAttrs are those of aws and of its environments.
func sizingAttrs(more map[string]attr) map[string]attr {
	all := map[string]attr{
		"instance": {example: `"t3.small"`},
		"database": {example: `"db.t4g.medium"`},
		"storage":  {example: "50"},
		"nat":      {example: `"single"`},
	}
	maps.Copy(all, more)
	return all
}

var awsShape = &shape{
	attrs: sizingAttrs(map[string]attr{
		"region": {required: true, example: `"eu-central-1"`},
		"domain": {example: `"bistro.example"`},
		"zones":  {example: "2"},
		"oncall": {example: `["oncall@bistro.example"]`},
	}),
	blocks: map[string]*shape{
		"environment": {label: true,
			attrs: sizingAttrs(map[string]attr{
				"gateways": {example: `["203.0.113.7/32"]`},
				"dns":      {example: "false"},
			}),
			blocks: map[string]*shape{"vpn": {once: true, attrs: map[string]attr{
				"gateway": {required: true, example: `"203.0.113.10"`},
				"network": {required: true, example: `"192.168.10.0/24"`},
			}}},
		},
		"service": {label: true, attrs: map[string]attr{
			"instance": {example: `"m7i.large"`},
			"egress":   {example: `["203.0.113.0/24"]`},
		}},
	},
}

var serviceShape = &shape{label: true,
	attrs: map[string]attr{
		"image": {example: `"./images/till"`},
		"port":  {required: true, example: "8080"},
		"env":   {example: "{ DATABASE_URL = database.till.url }"},
		"needs": {example: "[database.till, service.menu]"},
	},
	blocks: map[string]*shape{
		"build": {once: true, attrs: map[string]attr{
			"dir":        {required: true, example: `"./till"`},
			"command":    {required: true, example: `["go", "build", "-o", "till", "."]`},
			"entrypoint": {required: true, example: `["/till"]`},
		}},
		"health": {once: true, attrs: map[string]attr{
			"path":     {example: `"/healthz"`},
			"interval": {example: `"100ms"`},
			"timeout":  {example: `"2s"`},
		}},
		"scale": {once: true,
			attrs: map[string]attr{
				"min":      {example: "2"},
				"max":      {example: "10"},
				"requests": {example: "200"},
				"warmup":   {example: `"60s"`},
			},
			blocks: map[string]*shape{"peak": peakShape},
		},
	},
}
