// Package awsfake is AWS in memory, as far as godwit's rollouts use it: what an
// emulator of wire formats does not know. Instances take their time, become
// healthy or do not, drain, are held by lifecycle hooks, run into quotas and
// zones without capacity; load balancers serve requests by weight and health,
// and CloudWatch reports them late and by the minute.
//
// Its nouns are those of AWS: a Cloud holds images, launch templates, groups,
// target groups, load balancers; AutoScaling, EC2 and so on are the clients, with
// the methods, inputs, outputs and errors of the SDK. A Call may be made to fail,
// before it does anything or after, when only its answer is lost.
//
// Where AWS and the fake answer alike is checked against moto, in this package's
// tests. It starts no goroutine: whatever is due happens when the Cloud is next
// asked, in the order of time. Only tests import it.
package awsfake

import (
	"container/heap"
	"fmt"
	"sync"
	"time"
)

// Cloud is one account in one region. Its methods may be called from many goroutines.
type Cloud struct {
	options Options

	mu      sync.Mutex
	now     time.Time // of what happens at this moment
	events  events
	changes []time.Time // when anything did; so that an answer that lags is known
	serial  int         // of ids
	faults  Faults
	lag     time.Duration
	memos   map[string]memo
	calls   []Call

	ec2     ec2State
	groups  map[string]*group
	lb      lbState
	samples []sample
	rds     map[string]*database
	secrets map[string]*secret
	buckets map[string]map[string]*object
}

// Options of a cloud; what is zero has a default.
type Options struct {
	Region    string
	AccountID string
	Zones     []string // of the region; three
	// Clock tells the time; time.Now, which in a synctest bubble is the bubble's.
	Clock func() time.Time
	Timings
	// Page is the most that one answer of a Describe holds; AWS's own limits when 0.
	Page int
	// VCPUs is the quota of running instances; 64.
	VCPUs int
	// Attempts of a call, as the SDK's standard retryer makes them; 3.
	Attempts int
	// DrainShown: a target is reported as draining until its delay is over, as
	// AWS documents it, and not only until its last request has ended.
	DrainShown bool
}

// Timings are how long things take. What is zero takes no time, but that it is
// seen by the next call only.
type Timings struct {
	Scale       time.Duration // until a group notices that its size is not as desired
	Boot        time.Duration // from launch until the machine runs: InService, unless a hook holds it
	Answer      time.Duration // from then on until its service answers, which completes the hook of its launch
	Register    time.Duration // from registration to the first health check
	HealthCheck time.Duration // between two health checks; as the target group says when 0
	Retry       time.Duration // from a launch that failed to the next; 1 s
	Shutdown    time.Duration // from the end of the hook to the end of the instance
	Resolution  time.Duration // of metrics; 1 min
	Delay       time.Duration // from the end of a period until its metrics are there
}

// Realistic timings, for tests under synctest.
var Realistic = Timings{Scale: 4 * time.Second, Boot: 35 * time.Second, Answer: 10 * time.Second, Register: 3 * time.Second, Retry: 30 * time.Second,
	Shutdown: 20 * time.Second, Resolution: time.Minute, Delay: 75 * time.Second}

// New returns a cloud in which there is nothing.
func New(o Options) *Cloud {
	if o.Region == "" {
		o.Region = "eu-central-1"
	}
	if o.AccountID == "" {
		o.AccountID = "123456789012"
	}
	if o.Zones == nil {
		o.Zones = []string{o.Region + "a", o.Region + "b", o.Region + "c"}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Retry = max(o.Retry, time.Second)
	if o.Resolution == 0 {
		o.Resolution = time.Minute
	}
	o.VCPUs = orElse(o.VCPUs, 64)
	o.Attempts = orElse(o.Attempts, 3)
	return &Cloud{options: o, now: o.Clock(), memos: map[string]memo{}, ec2: newEC2State(), groups: map[string]*group{},
		lb: newLBState(), rds: map[string]*database{}, secrets: map[string]*secret{}, buckets: map[string]map[string]*object{}}
}

func orElse(n, standard int) int {
	if n == 0 {
		return standard
	}
	return n
}

// event is something that will happen.
type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].order < e[j].order
	}
	return e[i].at.Before(e[j].at)
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push and Pop are for container/heap.
func (e *events) Push(x any) { *e = append(*e, x.(event)) }

// Pop implements heap.Interface.
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// after has something done later. The cloud is locked, then and now.
func (c *Cloud) after(d time.Duration, do func()) {
	c.serial++
	heap.Push(&c.events, event{c.now.Add(d), c.serial, do})
}

// enter locks the cloud and lets everything happen that is due.
func (c *Cloud) enter() (leave func()) {
	c.mu.Lock()
	now := c.options.Clock()
	for len(c.events) > 0 && !c.events[0].at.After(now) {
		e := heap.Pop(&c.events).(event)
		if e.at.After(c.now) {
			c.now = e.at
		}
		e.do()
		c.change()
	}
	if now.After(c.now) {
		c.now = now
	}
	return c.mu.Unlock
}

// id of something new, as AWS writes them: i-0000000000000002a.
func (c *Cloud) id(prefix string) string {
	c.serial++
	return fmt.Sprintf("%s-%017x", prefix, c.serial)
}

func (c *Cloud) arn(service, format string, args ...any) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, c.options.Region, c.options.AccountID, fmt.Sprintf(format, args...))
}

// Stepper is a clock that a test moves.
type Stepper struct {
	mu  sync.Mutex
	now time.Time
}

// NewStepper returns a clock that stands at a fixed time.
func NewStepper() *Stepper {
	return &Stepper{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
}

// Now is for Options.Clock.
func (s *Stepper) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Step lets time pass.
func (s *Stepper) Step(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}
