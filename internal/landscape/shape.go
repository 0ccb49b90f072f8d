package landscape

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
}}

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
		"scale": {once: true, attrs: map[string]attr{
			"min": {example: "2"},
			"max": {example: "10"},
		}},
	},
}
