package landscape

// Severity of a Finding.
type Severity string

const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// File is one landscape file, as bytes.
type File struct {
	Name  string
	Bytes []byte
}

// Finding is what is wrong with a declaration: where, why, how to mend it.
type Finding struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`   // 1-based; 0: no place
	Column   int      `json:"column,omitempty"` // 1-based, in characters
	Source   string   `json:"source,omitempty"` // the line itself
	Summary  string   `json:"summary"`
	Mend     string   `json:"mend"`
}

// Findings are all that is wrong, in the order of the files.
type Findings []Finding
