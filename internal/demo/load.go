package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"godwit/internal/probe"
	"godwit/internal/report"
)

// load is the tills: `godwit probe`, running until it is interrupted.
type load struct {
	cmd     *exec.Cmd
	stdout  bytes.Buffer
	started time.Time
	ended   chan struct{}
	err     error // of the process; read it after ended
}

func startLoad(ctx context.Context, d *demo) (*load, error) {
	l := &load{ended: make(chan struct{})}
	l.cmd = d.godwit.Command(ctx, "probe", "tills", "--dir", d.bistro, "--target", "http://"+d.gateway,
		"--rate", strconv.FormatFloat(d.Rate, 'f', -1, 64), "--duration", "0", "--ledger", filepath.Join(d.dir, "ledger.jsonl"), "--quiet")
	l.cmd.Stdout = &l.stdout
	if err := l.cmd.Start(); err != nil {
		return nil, fmt.Errorf("godwit probe: %w", err)
	}
	l.started = time.Now()
	go func() {
		l.err = l.cmd.Wait()
		close(l.ended)
	}()
	return l, nil
}

// stop interrupts the load and waits until it has said what it saw.
func (l *load) stop() {
	select {
	case <-l.ended:
		return
	default:
	}
	l.cmd.Process.Signal(syscall.SIGINT)
	<-l.ended // bounded by the command's WaitDelay once ctx ends, and by the probe's own limits
}

// seen is the JSON of godwit probe.
type seen struct {
	Result     probe.Result     `json:"result"`
	Ledger     *probe.Ledger    `json:"ledger"`
	Invariants map[string]int64 `json:"invariants"`
	Failure    *struct {
		Message string `json:"message"`
	} `json:"failure"`
}

func (l *load) result() (*seen, error) {
	l.stop()
	var s seen
	if err := json.Unmarshal(l.stdout.Bytes(), &s); err != nil {
		return nil, fmt.Errorf("godwit probe printed no JSON (%w): %v", err, l.err)
	}
	if s.Failure != nil {
		return nil, fmt.Errorf("godwit probe: %s", s.Failure.Message)
	}
	return &s, nil
}

// fill writes what the tills saw into the report.
func (s *seen) fill(r *report.Report) {
	p := s.Result
	offset := p.Started.Sub(r.StartedAt)
	r.Requests.Sent, r.Requests.OK, r.Requests.Failed = p.Sent, p.OK, p.Failed
	r.Requests.P50MS, r.Requests.P99MS, r.Requests.MaxMS = millis(p.P50), millis(p.P99), millis(p.Max)
	r.Requests.LongestGapMS = millis(p.LongestGap)
	for _, f := range p.Examples {
		r.Problem(fmt.Sprintf("request %s failed at %.1f s: %s", f.Request, f.At.Sub(r.StartedAt).Seconds(), f.Message))
	}
	r.Timeline.BucketMS = probe.Window.Milliseconds()
	for _, x := range p.Samples {
		r.Timeline.Samples = append(r.Timeline.Samples, report.Sample{AtMS: (x.At + offset).Milliseconds(),
			Sent: x.Sent, OK: x.OK, Failed: x.Failed, P99MS: millis(x.P99), MaxMS: millis(x.Max)})
	}
	if s.Ledger == nil {
		return
	}
	r.Ledger = &report.Ledger{
		Acknowledged: int64(s.Ledger.Acknowledged), Found: int64(s.Ledger.Found), Missing: int64(s.Ledger.Missing),
		Duplicated: int64(s.Ledger.Duplicated), ReceiptGaps: s.Invariants["receipt_gaps"], ChainBreaks: s.Invariants["chain_breaks"],
	}
	for name, n := range s.Invariants {
		if n != 0 {
			r.Problem(fmt.Sprintf("invariant %s: %d", name, n))
		}
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
