package main

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Of many who would make the same thing at a time, one does.
func TestOneMakesIt(t *testing.T) {
	w := openWorld(filepath.Join(t.TempDir(), "world"))
	var made, refused atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			switch err := w.add(entry{Type: "aws_vpc", Key: "aws_vpc/eu-central-1/a", State: []byte("{}")}); {
			case err == nil:
				made.Add(1)
			case errors.Is(err, errTaken):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 || refused.Load() != 15 {
		t.Errorf("%d made it, %d were refused", made.Load(), refused.Load())
	}
	left, err := w.all(func(string) bool { return true })
	if err != nil || len(left) != 1 || left[0].Key != "aws_vpc/eu-central-1/a" {
		t.Errorf("%v, %v", left, err)
	}
	if err := w.remove("aws_vpc", "aws_vpc/eu-central-1/a"); err != nil {
		t.Error(err)
	}
	if _, there, err := w.get("aws_vpc", "aws_vpc/eu-central-1/a"); there || err != nil {
		t.Errorf("still there: %v", err)
	}
}
