package gateway

import (
	"bufio"
	"net/http"
	"net/textproto"
	"strings"
)

// writeRequestHeader writes what belongs to the request and leaves out what
// belongs to the connection or is ours to say.
func writeRequestHeader(w *bufio.Writer, h http.Header) {
	connection := connectionTokens(h)
	for name, values := range h {
		if hopByHop(name) || ours(name) || disguised(name) || connection[name] {
			continue
		}
		for _, v := range values {
			writeLine(w, name, v)
		}
	}
}

func writeLine(w *bufio.Writer, name, value string) {
	w.WriteString(name)
	w.WriteString(": ")
	w.WriteString(value)
	w.WriteString("\r\n")
}

// copyResponseHeader copies what belongs to the response.
func copyResponseHeader(to, from http.Header) {
	connection := connectionTokens(from)
	for name, values := range from {
		if hopByHop(name) || connection[name] {
			continue
		}
		to[name] = values
	}
}

// hopByHop headers describe one connection. Content-Length is framing, which is
// ours: requests get it from writeFraming; of responses it is kept by reply.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// ours are written by the gateway; a client's word is not passed on.
func ours(name string) bool {
	switch name {
	case "Host", "Content-Length", "Expect", "Forwarded", "X-Real-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// disguised: with an underscore for a hyphen it is one of the above to servers
// that hand headers on as environment variables (CGI and its heirs).
func disguised(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	return hopByHop(name) || ours(name)
}

// connectionTokens are the headers that Connection declares to be hop by hop,
// beside those that always are. A set: a client may list thousands.
func connectionTokens(h http.Header) map[string]bool {
	var names map[string]bool
	for _, v := range h["Connection"] {
		for token := range strings.SplitSeq(v, ",") {
			name := http.CanonicalHeaderKey(textproto.TrimString(token))
			if name == "" || name == "Close" || hopByHop(name) && name != "Upgrade" {
				continue
			}
			if names == nil {
				names = map[string]bool{}
			}
			names[name] = true
		}
	}
	return names
}

// upgradeType is the protocol the request asks to switch to, or "". We need not
// switch, and do not where it would hide what follows: with a body still to
// come, and to HTTP/2, whose requests would pass unseen through a hold.
func upgradeType(r *http.Request) string {
	protocol := r.Header.Get("Upgrade")
	if protocol == "" || !r.ProtoAtLeast(1, 1) || r.ContentLength != 0 || !connectionTokens(r.Header)["Upgrade"] {
		return ""
	}
	if lower := strings.ToLower(protocol); strings.Contains(lower, "h2c") || strings.Contains(lower, "http/") {
		return ""
	}
	return protocol
}
