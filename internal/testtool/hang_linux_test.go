package testtool

import (
	"os/exec"
	"testing"
)

// TestHang: what Hang has returned for does not run, at once.
func TestHang(t *testing.T) {
	t.Parallel()
	for range 20 {
		busy := exec.Command("sh", "-c", "while :; do :; done")
		if err := busy.Start(); err != nil {
			t.Fatal(err)
		}
		if stopped, err := hangs(busy.Process.Pid); err != nil || stopped {
			t.Errorf("before: %v, %v", stopped, err)
		}
		Hang(t, busy.Process.Pid)
		if stopped, err := hangs(busy.Process.Pid); err != nil || !stopped {
			t.Errorf("after: %v, %v", stopped, err)
		}
		if err := busy.Process.Kill(); err != nil {
			t.Error(err)
		}
		busy.Wait()
	}
}
