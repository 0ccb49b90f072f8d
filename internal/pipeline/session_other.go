//go:build unix && !linux

package pipeline

import (
	"context"
	"syscall"
)

func leads() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func follows() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func boot() string { return "" }

// sweep needs Linux's /proc; elsewhere only the command's own group is ended.
func sweep(context.Context, int, string) {}

func members(int, string) []int { return nil }
