package api

import "encoding/json"

// Line is one line of a stream: exactly one field is set. Result or Failure is
// the last line; a stream that ends without one was cut off.
type Line struct {
	Event   *Event          `json:"event,omitempty"`
	Row     json.RawMessage `json:"row,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Failure *Failure        `json:"failure,omitempty"`
}
