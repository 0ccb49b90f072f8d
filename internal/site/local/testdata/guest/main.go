// Guest is the program that the local site's tests run as an instance. It
// serves HTTP and does, on request, what a program should not be able to do.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	address := ":8080"
	if host, port := os.Getenv("HOST"), os.Getenv("PORT"); host != "" && port != "" {
		address = net.JoinHostPort(host, port)
	}
	if len(os.Args) > 1 && os.Args[1] == "crash" {
		fmt.Println("the guest crashes")
		os.Exit(3)
	}
	if len(os.Args) > 1 && os.Args[1] == "wait" {
		os.Stdin.Read(make([]byte, 1)) // until whoever started it lets go
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "reach" {
		reach()
		return
	}
	hostileHandlers()
	holdHandlers()
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getenv("NAME")) })
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getenv("SICK") != "" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	http.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) { get(w, r.URL.Query().Get("url")) })
	http.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(os.Environ()) })
	http.HandleFunc("/escape", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(escapes()) })
	http.HandleFunc("/flood", func(w http.ResponseWriter, _ *http.Request) {
		line := strings.Repeat("x", 1<<20-1) + "\n"
		for range 64 {
			os.Stdout.WriteString(line)
		}
	})
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(4) })
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.URL.Query().Get("for"))
		fmt.Fprintln(w, "sleeping")
		w.(http.Flusher).Flush() // whoever asked knows that it is being served
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "slept")
	})
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		fmt.Println("the guest ends as asked")
		os.Exit(0)
	}()
	fmt.Println("the guest listens at", address)
	fmt.Println(http.ListenAndServe(address, nil))
	os.Exit(1)
}

func get(w http.ResponseWriter, url string) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, err)
		return
	}
	defer resp.Body.Close()
	body := make([]byte, 1024)
	n, _ := resp.Body.Read(body)
	w.Write(body[:n])
}

// escapes tries to get out, each in a child where it could hurt the server, and
// says for each attempt what came of it: "" means that it worked.
func escapes() map[string]string {
	results := map[string]string{}
	try := func(name string, err error) {
		if err == nil {
			results[name] = ""
		} else {
			results[name] = err.Error()
		}
	}
	call := func(name string, nr uintptr, args ...uintptr) {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno == 0 {
			try(name, nil)
		} else {
			try(name, errno)
		}
	}
	path := func(s string) uintptr {
		p, _ := syscall.BytePtrFromString(s)
		return uintptr(unsafe.Pointer(p))
	}
	try("mount tmpfs", syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, ""))
	try("remount root writable", syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND, ""))
	try("unmount proc", syscall.Unmount("/proc/sys", syscall.MNT_DETACH))
	try("pivot_root", syscall.PivotRoot("/tmp", "/tmp"))
	try("chroot", syscall.Chroot("/tmp"))
	try("unshare user", syscall.Unshare(syscall.CLONE_NEWUSER))
	try("unshare net", syscall.Unshare(syscall.CLONE_NEWNET))
	call("setns", 308, 0, 0)
	call("ptrace", syscall.SYS_PTRACE, 16, 1)
	call("keyctl", syscall.SYS_KEYCTL, 0, 0xfffffffd, 0)
	call("bpf", 321, 0, 0, 0)
	call("io_uring_setup", 425, 1, 0)
	call("clone3", 435, 0, 0)
	call("open_tree", 428, 0, path("/"), 1)
	call("init_module", syscall.SYS_INIT_MODULE, 0, 0, path(""))
	try("write root", os.WriteFile("/x", []byte("x"), 0o600))
	try("write etc", os.WriteFile("/etc/hosts", []byte("x"), 0o600))
	try("write own program", os.WriteFile(os.Args[0], []byte("x"), 0o600))
	try("set a sysctl", os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	try("allow user namespaces", os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("10"), 0))
	try("make a device", syscall.Mknod("/tmp/sda", syscall.S_IFBLK|0o600, 0x800))
	try("raw socket", socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP))
	try("packet socket", socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0))
	for _, file := range []string{"/etc/shadow", "/proc/kcore", "/proc/1/root/etc/shadow", "/root/.bashrc",
		"/proc/self/root/etc/shadow", "/var/log/dpkg.log", "/home", "/usr/bin/env"} {
		try("read "+file, read(file))
	}
	try("signal another process", syscall.Kill(2, 0))
	if n := processes(); n > 1 {
		results["see other processes"] = ""
	}
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if k, v, ok := strings.Cut(line, ":"); ok {
			results["status "+k] = strings.TrimSpace(v)
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		target, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		results["fd "+fd.Name()] = target
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	results["mounts"] = string(mounts)
	return results
}

func socket(family, kind, protocol int) error {
	fd, err := syscall.Socket(family, kind, protocol)
	if err == nil {
		syscall.Close(fd)
	}
	return err
}

func read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Read(make([]byte, 1)); err != nil {
		return err
	}
	return nil
}

func processes() int {
	entries, _ := os.ReadDir("/proc")
	n := 0
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" {
			n++
		}
	}
	return n
}
