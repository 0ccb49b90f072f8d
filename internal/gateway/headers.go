package gateway

import (
	"bufio"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// writeRequestHeader writes what belongs to the request and leaves out what
// belongs to the connection or is ours to say.
func writeRequestHeader(w *bufio.Writer, h http.Header) {
	connection := connectionTokens(h)
	for name, values := range h {
		if hopByHop(name) || ours(name) || slices.Contains(connection, name) {
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
		if hopByHop(name) || slices.Contains(connection, name) {
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
	return strings.HasPrefix(name, "X-Forwarded-") || strings.ContainsRune(name, '_') &&
		strings.HasPrefix(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")), "X-Forwarded-")
}

// connectionTokens are the headers that Connection declares to be hop by hop.
func connectionTokens(h http.Header) []string {
	values := h["Connection"]
	if len(values) == 0 {
		return nil
	}
	var names []string
	for _, v := range values {
		for token := range strings.SplitSeq(v, ",") {
			if token = textproto.TrimString(token); token != "" {
				names = append(names, http.CanonicalHeaderKey(token))
			}
		}
	}
	return names
}

// upgradeType is the protocol the message asks to switch to, or "".
func upgradeType(h http.Header) string {
	if !slices.Contains(connectionTokens(h), "Upgrade") {
		return ""
	}
	return h.Get("Upgrade")
}
