// Package awstest lends tests what stands in for AWS: moto, an emulator of its
// wire formats. Only tests import it.
package awstest

import (
	"testing"

	"godwit/internal/testtool"
)

// Tool finds a program; see testtool.Find.
func Tool(t testing.TB, name string) string {
	t.Helper()
	return testtool.Find(t, name)
}
