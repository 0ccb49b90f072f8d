package postgres

import "testing"

// TestOrder: what sorts alike is called alike, however it is written.
func TestOrder(t *testing.T) {
	t.Parallel()
	for one, other := range map[string]string{"c C": "c POSIX", "c C.UTF-8": "c C", "c C.utf8": "c POSIX", "c en_US.UTF-8": "c en_US.utf8", "i en_US": "i en-US", "b C.UTF-8": "c C"} {
		if order(one) != order(other) {
			t.Errorf("%s sorts otherwise than %s", one, other)
		}
	}
	for one, other := range map[string]string{"c C": "c en_US.UTF-8", "i en-US": "c en_US", "i de-DE": "i en-US", "c de_DE.UTF-8": "c de_DE.ISO8859-1"} {
		if order(one) == order(other) {
			t.Errorf("%s sorts like %s", one, other)
		}
	}
}
