package probe

import (
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const maxExamples = 5

// score counts what becomes of the requests. One goroutine owns the counts;
// everybody else sends it events.
type score struct {
	events chan event
	done   sync.WaitGroup

	result   Result
	latency  *hdrhistogram.Histogram // microseconds
	ok       gap
	okWrites gap
	windows  windows

	onFailure func(Failure) // nil: nobody asks
}

// event is one thing that happened to a request; retried ones have no job.
type event struct {
	kind    eventKind
	job     job
	class   Class
	message string
	at      time.Duration // since the start
}

type eventKind int

const (
	eventSent eventKind = iota
	eventEnded
	eventRetried
)

// gap is the longest time between two successes.
type gap struct{ last, longest time.Duration }

func (g *gap) success(at time.Duration) {
	g.longest = max(g.longest, at-g.last)
	g.last = max(g.last, at)
}

func newScore(start time.Time, onSample func(Sample), onFailure func(Failure)) *score {
	s := &score{
		onFailure: onFailure,
		events:    make(chan event, 1024),
		latency:   hdrhistogram.New(1, time.Hour.Microseconds(), 3),
		result:    Result{Started: start, Reasons: map[string]int64{}},
	}
	s.windows.emit = func(sample Sample) {
		s.result.Samples = append(s.result.Samples, sample)
		if onSample != nil {
			onSample(sample)
		}
	}
	s.done.Go(s.count)
	return s
}

func (s *score) sent(j job) { s.events <- event{kind: eventSent, job: j} }
func (s *score) retried()   { s.events <- event{kind: eventRetried} }
func (s *score) ended(j job, class Class, message string, at time.Duration) {
	s.events <- event{kind: eventEnded, job: j, class: class, message: message, at: at}
}

func (s *score) count() {
	for e := range s.events {
		switch e.kind {
		case eventSent:
			s.result.Sent++
			if e.job.request.ledger != "" {
				s.result.Writes++
			}
			s.windows.sent(e.job.due)
		case eventRetried:
			s.result.Retried++
		case eventEnded:
			s.countEnd(e)
		}
	}
}

func (s *score) countEnd(e event) {
	after := e.at - e.job.due
	switch e.class {
	case ok:
		s.result.OK++
		_ = s.latency.RecordValue(min(max(after.Microseconds(), 1), time.Hour.Microseconds())) // within its bounds
		s.result.Max = max(s.result.Max, after)
		s.ok.success(e.at)
		if e.job.request.ledger != "" {
			s.okWrites.success(e.at)
		}
	case interrupted:
		s.result.Interrupted++
	default:
		s.result.Failed++
		s.result.Reasons[string(e.class)]++
		f := Failure{At: s.result.Started.Add(e.job.due), Request: e.job.request.name, Key: e.job.key,
			Class: e.class, Message: e.message, After: after}
		if len(s.result.Examples) < maxExamples {
			s.result.Examples = append(s.result.Examples, f)
		}
		if s.onFailure != nil {
			s.onFailure(f)
		}
	}
	s.windows.ended(e.job.due, e.class, after)
}

// finish ends the counting, when no more events can come.
func (s *score) finish(now time.Time) Result {
	close(s.events)
	s.done.Wait()
	s.windows.finish()
	r := &s.result
	r.Elapsed = now.Sub(r.Started)
	r.P50 = time.Duration(s.latency.ValueAtQuantile(50)) * time.Microsecond
	r.P99 = time.Duration(s.latency.ValueAtQuantile(99)) * time.Microsecond
	s.ok.success(r.Elapsed) // the end counts: silence until then is a gap too
	s.okWrites.success(r.Elapsed)
	r.LongestGap = s.ok.longest
	if r.Writes > 0 {
		r.LongestWriteGap = s.okWrites.longest
	}
	return *r
}

// windows are the samples that are not complete yet, in order of time.
type windows struct {
	first int64 // index of open[0]
	open  []window
	emit  func(Sample)
}

type window struct {
	sample    Sample
	ended     int64
	latencies []time.Duration
}

// at finds the window of an intended time; windows before it that are still
// missing are made, because a window without requests is a sample too.
func (w *windows) at(due time.Duration) *window {
	i := int64(due/Window) - w.first
	for int64(len(w.open)) <= i {
		w.open = append(w.open, window{sample: Sample{At: time.Duration(w.first+int64(len(w.open))) * Window}})
	}
	return &w.open[i]
}

func (w *windows) sent(due time.Duration) {
	w.at(due).sample.Sent++
	w.flush(1)
}

func (w *windows) ended(due time.Duration, class Class, after time.Duration) {
	at := w.at(due)
	at.ended++
	switch class {
	case ok:
		at.sample.OK++
		at.latencies = append(at.latencies, after)
	case interrupted:
	default:
		at.sample.Failed++
	}
	w.flush(1)
}

// flush emits the complete windows, but not the last keep: they may get more.
func (w *windows) flush(keep int) {
	for len(w.open) > keep && w.open[0].ended == w.open[0].sample.Sent {
		w.emit(w.open[0].closed())
		w.open, w.first = w.open[1:], w.first+1
	}
}

func (w *windows) finish() { w.flush(0) }

func (w *window) closed() Sample {
	if n := len(w.latencies); n > 0 {
		slices.Sort(w.latencies)
		w.sample.P99 = w.latencies[(n*99+99)/100-1]
		w.sample.Max = w.latencies[n-1]
	}
	return w.sample
}
