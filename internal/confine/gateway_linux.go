package confine

// Gateway executes this program once more as what faces clients: with ids of its
// own (when root runs it), without capabilities, unable to gain any, and allowed
// to change nothing but what is below own, and to read beside that only what
// every program reads. It returns only when that fails, never with
// nil. What it inherits it keeps.
func Gateway(id int, own string, trusts []string, args []string) error {
	files := append(reads(), Rule{own, Use | Fill | Arrange}, Rule{"/dev/null", Use | Fill})
	for _, path := range append([]string{"/proc", "/sys", "/var/lib/ca-certificates"}, trusts...) {
		if path != "" {
			files = append(files, Rule{path, Use})
		}
	}
	return walls{id: id, files: files}.execute(args)
}
