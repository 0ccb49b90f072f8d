package local

// Problem is a reason why this machine cannot isolate.
type Problem struct {
	Missing string // what
	Mend    string // how to mend it
}

// Lines are problems, one a line.
func Lines(problems []Problem) []string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, "- "+p.Missing+": "+p.Mend)
	}
	return lines
}
