//go:build unix && !linux

package pipeline

import "syscall"

func leads() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func follows() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func boot() string { return "" }

// sweep needs Linux's /proc; elsewhere only the command's own group is ended.
func sweep(int, string) {}

func members(int, string) []int { return nil }
