package landscape

import "time"

// Pipeline is the way of a change into production: stages, one after the other.
type Pipeline struct {
	Name     string
	Services []string // what it is about; stages that work on services do so side by side
	Stages   []Stage
}

// Stage is one step of a pipeline; exactly one of its actions is set.
type Stage struct {
	Name    string
	Run     *StageRun
	Build   bool   // make the images of all services
	Bake    bool   // make machine images of them, where the site needs them
	Deploy  string // environment into which the built images are rolled out
	Probe   *StageProbe
	Approve string        // question that a person answers
	Timeout time.Duration // of the stage; an approval waits as long

	Approvals int           // how many different people are to approve
	FourEyes  bool          // who began the run is none of them
	Valid     time.Duration // how long an approval counts
}

// StageRun is a command.
type StageRun struct {
	Command []string
	Dir     string // relative to the landscape's directory
	Each    bool   // once per service, side by side, with SERVICE in its environment
}

// StageProbe sends a probe's load into an environment.
type StageProbe struct {
	Probe       string
	Environment string
	Duration    time.Duration
	Rate        int // requests per second
}
