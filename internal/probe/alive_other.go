//go:build !unix

package probe

import "net"

// alive can't look here without reading: the request will tell.
func alive(net.Conn) bool { return true }
