package convention

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"godwit/internal/fleet"
)

// UserData is what an instance is started with: the user data of a version of
// the launch template. It is also the record of the release: whoever asks which
// release a version is reads it here.
//
// It holds no secret: what is secret is named, and fetched by the instance.
type UserData struct {
	Godwit      int    `json:"godwit"` // version of this document; Encode writes it
	Landscape   string `json:"landscape"`
	Environment string `json:"environment"`
	Service     string `json:"service"`
	Region      string `json:"region"`
	LogGroup    string `json:"log_group"`
	Group       string `json:"group"` // Auto Scaling group
	Hook        string `json:"hook"`  // lifecycle hook to complete once drained
	// LaunchHook is the lifecycle hook to complete once the health check is
	// answered. All documents name it, for whether a group has it is Terraform's.
	LaunchHook string             `json:"launch_hook,omitempty"`
	Port       int                `json:"port"`
	Env        map[string][]Piece `json:"env"`     // by variable, put together in order
	Release    fleet.Release      `json:"release"` // whole, Env as declared
}

// Piece of a variable: text, or a key of a secret's JSON object.
type Piece struct {
	Text   string `json:"text,omitempty"`
	Secret string `json:"secret,omitempty"` // name of the secret
	Key    string `json:"key,omitempty"`
	// Version of the secret; "": the one that AWS calls current when it is read.
	Version string `json:"version,omitempty"`
}

// UserDataVersion is the newest version that a machine image reads: in 2 a piece
// may name the version of its secret, from ReadsLaunchHook on its agent completes
// the launch hook. Who reads a version reads the older ones too.
const UserDataVersion = ReadsLaunchHook

// ReadsLaunchHook is the version that a machine image must read where a group
// has the launch hook. Documents stay as old as Version says: an image from
// before takes no notice of LaunchHook, and does no harm where there is no hook.
const ReadsLaunchHook = 3

// Version is that of the document: the oldest that has all that must be read of
// it, so that machine images from before go on reading what they can.
func (u UserData) Version() int {
	for _, pieces := range u.Env {
		if slices.ContainsFunc(pieces, func(p Piece) bool { return p.Version != "" }) {
			return 2
		}
	}
	return 1
}

// UserDataLimit is what EC2 takes, before base64.
const UserDataLimit = 16 << 10

// Encode writes the document; the same release gives the same bytes.
func (u UserData) Encode() ([]byte, error) {
	u.Godwit = u.Version()
	b, err := json.Marshal(u)
	if err == nil && len(b) > UserDataLimit {
		err = fmt.Errorf("the configuration of service %s takes %d bytes, and an instance is started with at most %d: shorten env",
			u.Service, len(b), UserDataLimit)
	}
	return b, err
}

// DecodeUserData reads it back. Anything that is no document of godwit's is an error.
func DecodeUserData(b []byte) (UserData, error) {
	var u UserData
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&u); err != nil {
		return u, fmt.Errorf("this user data is not godwit's: %w", err)
	}
	if u.Godwit < 1 || u.Godwit > UserDataVersion {
		return u, fmt.Errorf("user data has version %d, and this godwit reads 1 to %d", u.Godwit, UserDataVersion)
	}
	return u, nil
}
