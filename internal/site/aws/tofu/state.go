package tofu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/hashicorp/terraform-exec/tfexec"

	"godwit/internal/site/aws/convention"
)

// State is where the states of all roots are kept: the account's bucket, and,
// until that is made, a file for the account's own.
type State struct {
	Account convention.Account
	Buckets Buckets
}

// Buckets is what is asked of S3.
type Buckets interface {
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Identity says whose credentials are used.
type Identity interface {
	GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)
}

// Identify finds the account that the credentials belong to.
func Identify(ctx context.Context, who Identity, landscape, region string) (convention.Account, error) {
	a := convention.Account{Landscape: landscape, Region: region}
	me, err := who.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return a, explain("ask AWS whose credentials these are", err)
	}
	if me.Account == nil || *me.Account == "" {
		return a, fmt.Errorf("%w: AWS does not say which account they belong to", ErrCredentials)
	}
	a.AccountID = *me.Account
	return a, nil
}

var (
	// ErrAccountFirst: the account root has to be applied before an environment.
	ErrAccountFirst = errors.New("the account comes first")
	// ErrBucketGone: the bucket that held the state is not there any more.
	ErrBucketGone = errors.New("the state's bucket is gone")
	// ErrTwoStates: a state on this machine and another in the bucket claim the same root.
	ErrTwoStates = errors.New("two states of one root")
)

// place is where a root's state is.
type place string

const (
	ownPlace    place = "own"   // wherever the root says itself
	localPlace  place = "local" // in the root's private directory, until the bucket is there
	remotePlace place = "bucket"
)

// document is what is read of a state.
type document struct {
	Lineage   string          `json:"lineage"`
	Serial    int64           `json:"serial"`
	Resources json.RawMessage `json:"resources"`
}

func readDocument(b []byte, from string) (*document, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	var doc document
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("%s is no state: %w", from, err)
	}
	if doc.Lineage == "" {
		return nil, nil
	}
	return &doc, nil
}

func (s *State) bucket() string { return s.Account.StateBucket() }

// exists says whether the bucket is there. What the answer is unclear about is
// an error: a state that is not found must not be begun anew.
func (s *State) exists(ctx context.Context) (bool, error) {
	name := s.bucket()
	_, err := s.Buckets.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name, ExpectedBucketOwner: &s.Account.AccountID})
	if err == nil {
		return true, nil
	}
	var missing *s3types.NotFound
	var api smithy.APIError
	if errors.As(err, &missing) || errors.As(err, &api) && (api.ErrorCode() == "NoSuchBucket" || api.ErrorCode() == "NotFound") {
		return false, nil
	}
	return false, explain("look for the state bucket "+name, err)
}

// load reads a root's state from the bucket; nil when there is none.
func (s *State) load(ctx context.Context, r Root) (*document, error) {
	bucket, key := s.bucket(), convention.StateKey(r.key())
	out, err := s.Buckets.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key},
		func(o *s3.Options) { o.DisableLogOutputChecksumValidationSkipped = true }) // not everything that stands in for S3 has checksums
	if err != nil {
		var missing *s3types.NoSuchKey
		if errors.As(err, &missing) {
			return nil, nil
		}
		return nil, explain("read s3://"+bucket+"/"+key, err)
	}
	defer func() { _ = out.Body.Close() }()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, explain("read s3://"+bucket+"/"+key, err)
	}
	return readDocument(b, "s3://"+bucket+"/"+key)
}

// begin stores a root's first state in the bucket; when there is one already it is an error.
func (s *State) begin(ctx context.Context, r Root, b []byte) error {
	bucket, key := s.bucket(), convention.StateKey(r.key())
	_, err := s.Buckets.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(b), IfNoneMatch: aws.String("*"),
		ContentType: aws.String("application/json")})
	if err != nil {
		return explain("write s3://"+bucket+"/"+key, err)
	}
	return nil
}

// locate finds where the state of a root is, and refuses what cannot be.
func (d *Driver) locate(ctx context.Context, r Root) (place, error) {
	if d.State == nil {
		return ownPlace, nil
	}
	if err := d.Program.Locking(); err != nil {
		return "", err
	}
	there, err := d.State.exists(ctx)
	switch {
	case err != nil:
		return "", err
	case !there && r.account():
		return localPlace, d.notLost(r)
	case !there:
		return "", fmt.Errorf("%w: there is no bucket %s for the state of %s: run `godwit aws apply --account` before", ErrAccountFirst, d.State.bucket(), r.Name)
	case r.account():
		return remotePlace, nil
	}
	account, err := d.State.load(ctx, Root{r.Dir, AccountRoot})
	if err != nil {
		return "", err
	}
	if account == nil {
		return "", fmt.Errorf("%w: the bucket %s is there, but the account's own state has not been moved into it: run `godwit aws apply --account` again, where it was run before",
			ErrAccountFirst, d.State.bucket())
	}
	return remotePlace, nil
}

// notLost refuses to begin a new state where the last run had one in a bucket.
func (d *Driver) notLost(r Root) error {
	b, err := r.read(".terraform/terraform.tfstate")
	if err != nil {
		return nil // never initialised here
	}
	var record struct {
		Backend struct {
			Type   string
			Config struct {
				Bucket    string
				Endpoints struct{ S3 string }
			}
		}
	}
	if json.Unmarshal(b, &record) != nil || record.Backend.Type != "s3" {
		return nil
	}
	c := record.Backend.Config
	if c.Bucket != d.State.bucket() || c.Endpoints.S3 != string(d.Endpoint) {
		return nil
	}
	return fmt.Errorf("%w: %s held the state of %s and cannot be found. Restore the bucket; if all that it described is gone as well, remove %s to begin anew",
		ErrBucketGone, c.Bucket, r.Name, r.file(".terraform"))
}

// prepare initialises a root: its overrides, its state's place, its providers.
// A state that waits to be moved into the bucket is moved.
func (d *Driver) prepare(ctx context.Context, r Root) (place, error) {
	if err := d.Endpoint.Check(); err != nil {
		return "", err
	}
	at, err := d.locate(ctx, r)
	if err != nil {
		return "", err
	}
	d.tell(Event{Kind: Preparing, Text: r.Name + " with " + d.Program.Name + " " + d.Program.Version})
	if at == remotePlace {
		if err := d.move(ctx, r); err != nil {
			return "", err
		}
	}
	if err := d.override(r, at == localPlace); err != nil {
		return "", err
	}
	before, err := d.stamp(r, at)
	if err != nil {
		return "", err
	}
	if b, err := r.read(stampFile); err == nil && string(b) == before {
		return at, r.lockDown()
	}
	if err := d.initialise(ctx, r, at, at != ownPlace); err != nil {
		return "", err
	}
	after, err := d.stamp(r, at)
	if err != nil {
		return "", err
	}
	return at, errors.Join(writePrivate(r.file(stampFile), []byte(after)), r.lockDown())
}

// stamp is of all that init depends on and of what it left: while it is the
// same, init would do nothing, and takes its time.
func (d *Driver) stamp(r Root, at place) (string, error) {
	tree, err := r.digest()
	if err != nil {
		return "", err
	}
	settings := []any{tree, at, d.Program, d.Endpoint, d.environment()[cliConfig]}
	if at == remotePlace {
		settings = append(settings, d.backend(r))
	}
	for _, name := range []string{overrideFile, ".terraform.lock.hcl", ".terraform/terraform.tfstate", ".terraform/modules/modules.json"} {
		b, err := r.read(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		settings = append(settings, name, b)
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// initialise runs init with a root's state at a place. Anew: where it was before
// is forgotten, and nothing copied from there.
func (d *Driver) initialise(ctx context.Context, r Root, at place, anew bool) error {
	if err := d.override(r, at == localPlace); err != nil {
		return err
	}
	options := []tfexec.InitOption{tfexec.Reconfigure(anew)}
	if at == remotePlace {
		if r.has("backend.hcl") {
			options = append(options, tfexec.BackendConfig("backend.hcl"))
		}
		if err := writePrivateJSON(r.file(backendFile), d.backend(r)); err != nil {
			return err
		}
		options = append(options, tfexec.BackendConfig(backendFile))
	}
	tf, err := d.exec(r)
	if err != nil {
		return err
	}
	// Whatever becomes of this, what was initialised before counts no more.
	if err := r.remove(stampFile); err != nil {
		return err
	}
	watch := newWatcher(d, nil)
	if d.Program.atLeast("1.9.0") {
		err = tf.InitJSON(ctx, watch, options...)
	} else {
		err = tf.Init(ctx, options...)
	}
	if err != nil {
		return d.failure("initialise", r, watch, err)
	}
	return nil
}

// backend is the rest of the configuration of the rendered, empty `backend "s3"`.
func (d *Driver) backend(r Root) map[string]any {
	c := map[string]any{
		"bucket":       d.State.bucket(),
		"key":          convention.StateKey(r.key()),
		"region":       d.State.Account.Region,
		"use_lockfile": true,
	}
	if d.Endpoint != "" {
		e := string(d.Endpoint)
		c["endpoints"] = map[string]any{"s3": e, "sts": e, "iam": e}
		c["use_path_style"] = true
		c["skip_metadata_api_check"] = true
		c["skip_region_validation"] = true
	}
	return c
}

// move brings the account's state from this machine into the bucket. Killed
// anywhere it is begun again, and the file goes only after the bucket's copy
// was read back. The program would give what is first in a bucket a new lineage,
// and it could not be known again; so its bytes are copied, and never over others.
func (d *Driver) move(ctx context.Context, r Root) error {
	if !r.account() {
		return nil
	}
	b, err := r.read(localState)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	here, err := readDocument(b, r.file(localState))
	if err != nil || here == nil {
		return err
	}
	there, err := d.State.load(ctx, r)
	if err != nil {
		return err
	}
	if there != nil && there.Lineage != here.Lineage {
		return fmt.Errorf("%w: %s on this machine and s3://%s/%s do not have a common past. One of them is wrong: look at both (`%s state list`), and put the wrong one away",
			ErrTwoStates, r.file(localState), d.State.bucket(), convention.StateKey(r.key()), d.Program.Name)
	}
	if there == nil || there.Serial < here.Serial {
		d.tell(Event{Kind: Moving, Text: "the state of " + r.Name + " into " + d.State.bucket()})
		if there == nil {
			err = d.State.begin(ctx, r, b)
		} else {
			err = d.push(ctx, r, localState)
		}
		if err != nil {
			return err
		}
		if there, err = d.State.load(ctx, r); err != nil {
			return err
		}
	}
	if err := same(here, there); err != nil {
		return fmt.Errorf("the state in %s is not the one of this machine (%w); the one here is kept: run it again", d.State.bucket(), err)
	}
	return errors.Join(r.remove(localState), r.remove(localState+".backup"), syncDir(r.file(private)))
}

// push saves a state from a file of the root in the bucket.
func (d *Driver) push(ctx context.Context, r Root, name string) error {
	if err := d.initialise(ctx, r, remotePlace, true); err != nil {
		return err
	}
	tf, err := d.exec(r)
	if err != nil {
		return err
	}
	if err := tf.StatePush(ctx, name, tfexec.LockTimeout(d.lockWait().String())); err != nil {
		return d.failure("push the state of", r, nil, err)
	}
	return nil
}

func same(here, there *document) error {
	switch {
	case there == nil:
		return errors.New("there is none")
	case there.Lineage != here.Lineage:
		return errors.New("it has another lineage")
	case there.Serial < here.Serial:
		return fmt.Errorf("serial %d instead of %d", there.Serial, here.Serial)
	case there.Serial > here.Serial:
		return nil // applied since
	}
	var a, b bytes.Buffer
	if err := errors.Join(json.Compact(&a, here.Resources), json.Compact(&b, there.Resources)); err != nil {
		return err
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		return errors.New("it has other resources")
	}
	return nil
}
