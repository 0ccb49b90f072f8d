package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Measures of the picture, in units of its view box.
const (
	width       = 1000.0
	left        = 62.0 // room for the numbers of the axes
	right       = 14.0
	labelHeight = 21.0
	maxRows     = 8
	panelHeight = 150.0
	panelGap    = 34.0
	axisHeight  = 30.0
	maxColumns  = 400
	letter      = 6.4 // width of a letter of a label
	maxLabel    = 34  // letters
)

// picture is the timeline, laid out; the template only writes it down.
type picture struct {
	Width, Height          float64
	Left, Right            float64 // of the panels
	Throughput, Latency    panel
	OK, Held, Failed, Line string // paths
	Seconds                []tick
	Marks                  []mark
	Columns                []column
	AxisY                  float64
	Empty                  bool
}

// panel is one of the two diagrams.
type panel struct {
	Top, Bottom float64
	Ticks       []tick
}

type tick struct {
	At    float64
	Label string
}

// mark is an event or a phase.
type mark struct {
	X, Width         float64 // Width above 0: a phase
	LabelX, LabelY   float64
	Anchor           string // start or end
	Label            string // "" when there is no room
	Title            string
	Top, Bottom      float64
	BoxX, BoxY, BoxW float64
}

// column is a slice of time that tells its numbers when pointed at.
type column struct {
	X, Width float64
	Title    string
	sample   Sample
	span     float64 // seconds
}

// draw lays the timeline out.
func draw(t Timeline) picture {
	p := picture{Width: width, Left: left, Right: width - right}
	samples, bucket := merge(t)
	end := float64(max(bucket, lastMS(t, bucket)))
	x := func(ms float64) float64 { return left + (width-left-right)*math.Min(1, math.Max(0, ms/end)) }
	rows := p.placeMarks(t.Events, x)
	p.Throughput = panel{Top: 30 + labelHeight*float64(rows)}
	p.Throughput.Bottom = p.Throughput.Top + panelHeight
	p.Latency = panel{Top: p.Throughput.Bottom + panelGap}
	p.Latency.Bottom = p.Latency.Top + panelHeight
	p.AxisY = p.Latency.Bottom + 20
	p.Height = p.Latency.Bottom + axisHeight
	for i := range p.Marks {
		p.Marks[i].Bottom = p.Latency.Bottom
	}
	for _, s := range samples {
		from := float64(s.AtMS)
		p.Columns = append(p.Columns, column{X: x(from), Width: x(from+float64(bucket)) - x(from), sample: s, span: float64(bucket) / 1000})
	}
	p.Empty = len(samples) == 0
	p.drawThroughput()
	p.drawLatency()
	p.drawSeconds(end/1000, x)
	return p
}

// merge joins buckets until there are few enough to draw.
func merge(t Timeline) ([]Sample, int64) {
	bucket := max(1, t.BucketMS)
	if len(t.Samples) == 0 {
		return nil, bucket
	}
	first, last := t.Samples[0].AtMS, t.Samples[0].AtMS
	for _, s := range t.Samples {
		first, last = min(first, s.AtMS), max(last, s.AtMS)
	}
	wide := bucket
	for (last-first)/wide >= maxColumns {
		wide += bucket
	}
	byTime := map[int64]Sample{}
	for _, s := range t.Samples {
		at := (s.AtMS - first) / wide
		m := byTime[at]
		m.AtMS = first + at*wide
		m.Sent, m.OK, m.Failed, m.Held = m.Sent+s.Sent, m.OK+s.OK, m.Failed+s.Failed, m.Held+s.Held
		m.P99MS, m.MaxMS = max(m.P99MS, drawable(s.P99MS)), max(m.MaxMS, drawable(s.MaxMS))
		byTime[at] = m
	}
	var merged []Sample
	for _, s := range byTime {
		merged = append(merged, s)
	}
	slices.SortFunc(merged, func(a, b Sample) int { return cmp.Compare(a.AtMS, b.AtMS) })
	return merged, wide
}

// drawable keeps numbers that are none, or have no end, off the axes.
func drawable(ms float64) float64 {
	if ms > 0 && ms < 1e9 {
		return ms
	}
	return 0
}

func lastMS(t Timeline, bucket int64) int64 {
	var last int64
	for _, s := range t.Samples {
		last = max(last, s.AtMS+bucket)
	}
	for _, e := range t.Events {
		last = max(last, e.AtMS, e.UntilMS)
	}
	return last
}

// placeMarks gives every label a row where it touches no other; a label that
// finds none is left to the table below the picture. It returns the rows used.
func (p *picture) placeMarks(events []Event, x func(float64) float64) int {
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b Event) int { return cmp.Compare(a.AtMS, b.AtMS) })
	type box struct{ from, to float64 }
	var rows [maxRows][]box
	used := 0
	for _, e := range sorted {
		m := mark{X: x(float64(e.AtMS)), Title: eventTitle(e), Anchor: "start"}
		if e.UntilMS > e.AtMS {
			m.Width = math.Max(1, x(float64(e.UntilMS))-m.X)
		}
		label := cut(e.Name, maxLabel)
		m.BoxW = letter*float64(len([]rune(label))) + 12
		m.BoxX, m.LabelX = m.X, m.X+6
		if m.BoxX+m.BoxW > width-2 {
			m.BoxX, m.LabelX, m.Anchor = m.X-m.BoxW, m.X-6, "end"
		}
		for row := range rows {
			free := !slices.ContainsFunc(rows[row], func(b box) bool { return m.BoxX < b.to+4 && b.from < m.BoxX+m.BoxW+4 })
			if free && m.BoxX >= 0 {
				rows[row] = append(rows[row], box{m.BoxX, m.BoxX + m.BoxW})
				m.BoxY = 6 + labelHeight*float64(row)
				m.Top, m.LabelY, m.Label = m.BoxY, m.BoxY+12.5, label
				used = max(used, row+1)
				break
			}
		}
		p.Marks = append(p.Marks, m)
	}
	for i := range p.Marks {
		if p.Marks[i].Label == "" {
			p.Marks[i].Top = 6 + labelHeight*float64(used)
		}
	}
	return used
}

func eventTitle(e Event) string {
	s := fmt.Sprintf("%s: %s", seconds(e.AtMS), e.Name)
	if e.UntilMS > e.AtMS {
		s = fmt.Sprintf("%s to %s: %s", seconds(e.AtMS), seconds(e.UntilMS), e.Name)
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// drawThroughput draws requests per second by outcome, one above the other.
func (p *picture) drawThroughput() {
	top := 1.0
	for _, c := range p.Columns {
		top = math.Max(top, float64(c.sample.OK+c.sample.Failed)/c.span)
	}
	top, p.Throughput.Ticks = scale(top, p.Throughput)
	y := func(rate float64) float64 { return p.Throughput.Bottom - panelHeight*rate/top }
	layer := func(from, to func(Sample) int64) string {
		return p.area(func(c column) (float64, float64) {
			return y(float64(from(c.sample)) / c.span), y(float64(to(c.sample)) / c.span)
		})
	}
	straight := func(s Sample) int64 { return max(0, s.OK-s.Held) }
	p.OK = layer(func(Sample) int64 { return 0 }, straight)
	p.Held = layer(straight, func(s Sample) int64 { return s.OK })
	p.Failed = layer(func(s Sample) int64 { return s.OK }, func(s Sample) int64 { return s.OK + s.Failed })
	for i, c := range p.Columns {
		s := c.sample
		p.Columns[i].Title = fmt.Sprintf("%s: %.0f ok/s, %d held, %d failed, p99 %s, max %s",
			seconds(s.AtMS), float64(s.OK)/c.span, s.Held, s.Failed, millis(s.P99MS), millis(s.MaxMS))
	}
}

// area is the path around what lies between two lines, in steps.
func (p *picture) area(bounds func(column) (low, high float64)) string {
	var up, back strings.Builder
	any := false
	for i, c := range p.Columns {
		low, high := bounds(c)
		any = any || low != high
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&up, "%s%.1f %.1fL%.1f %.1f", command, c.X, high, c.X+c.Width, high)
		r := p.Columns[len(p.Columns)-1-i]
		low, _ = bounds(r)
		fmt.Fprintf(&back, "L%.1f %.1fL%.1f %.1f", r.X+r.Width, low, r.X, low)
	}
	if !any {
		return ""
	}
	return up.String() + back.String() + "Z"
}

// scale rounds the end of an axis that begins at 0 up, and divides it.
func scale(top float64, p panel) (float64, []tick) {
	step := math.Pow(10, math.Floor(math.Log10(top/3)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if top/(step*factor) <= 4 {
			step *= factor
			break
		}
	}
	top = step * math.Ceil(top*1.02/step)
	var ticks []tick
	for v := 0.0; v <= top*1.001; v += step {
		ticks = append(ticks, tick{p.Bottom - (p.Bottom-p.Top)*v/top, fmt.Sprintf("%.4g", v)})
	}
	return top, ticks
}

// drawLatency draws the 99th percentile on a logarithmic axis: what matters is
// its order of magnitude. The line is broken where nothing was sent.
func (p *picture) drawLatency() {
	low, high := math.Inf(1), 0.0
	for _, c := range p.Columns {
		if c.sample.P99MS > 0 {
			low, high = math.Min(low, c.sample.P99MS), math.Max(high, c.sample.P99MS)
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high*1.05))
	to = math.Max(to, from+1)
	y := func(ms float64) float64 {
		return p.Latency.Bottom - panelHeight*(math.Log10(ms)-from)/(to-from)
	}
	for e := from; e <= to; e++ {
		p.Latency.Ticks = append(p.Latency.Ticks, tick{y(math.Pow(10, e)), millis(math.Pow(10, e))})
	}
	var line strings.Builder
	command := "M"
	for _, c := range p.Columns {
		if c.sample.P99MS <= 0 {
			command = "M"
			continue
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", command, c.X+c.Width/2, y(c.sample.P99MS))
		command = "L"
	}
	p.Line = line.String()
}

func (p *picture) drawSeconds(end float64, x func(float64) float64) {
	step := 1.0
	for _, s := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400} {
		step = s
		if end/s <= 12 {
			break
		}
	}
	for i := 0; float64(i)*step <= end && i <= 100; i++ {
		v := float64(i) * step
		p.Seconds = append(p.Seconds, tick{x(v * 1000), fmt.Sprintf("%.4g s", v)})
	}
}
