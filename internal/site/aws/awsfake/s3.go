package awsfake

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const s3ID = "S3"

// S3 is the client of objects. It is consistent at once, as S3 is.
type S3 struct{ c *Cloud }

// S3 returns a client.
func (c *Cloud) S3() S3 { return S3{c} }

type object struct {
	body     []byte
	etag     string
	modified time.Time
}

func (c *Cloud) bucket(name *string) (map[string]*object, error) {
	if b := c.buckets[aws.ToString(name)]; b != nil {
		return b, nil
	}
	return nil, &missing{&types.NoSuchBucket{Message: aws.String("The specified bucket does not exist")}}
}

// missing is a modelled error whose status is 404.
type missing struct{ error }

// Unwrap lets errors.As find the SDK's type.
func (m *missing) Unwrap() error { return m.error }

// CreateBucket implements the SDK's method.
func (s S3) CreateBucket(ctx ctx, in *s3.CreateBucketInput, _ ...func(*s3.Options)) (*s3.CreateBucketOutput, error) {
	return call(ctx, s.c, s3ID, "CreateBucket", write, in, func(in *s3.CreateBucketInput) (*s3.CreateBucketOutput, error) {
		name := aws.ToString(in.Bucket)
		if s.c.buckets[name] != nil {
			return nil, &types.BucketAlreadyOwnedByYou{Message: aws.String("Your previous request to create the named bucket succeeded and you already own it.")}
		}
		s.c.buckets[name] = map[string]*object{}
		return &s3.CreateBucketOutput{Location: aws.String("/" + name)}, nil
	})
}

// HeadBucket implements the SDK's method.
func (s S3) HeadBucket(ctx ctx, in *s3.HeadBucketInput, _ ...func(*s3.Options)) (*s3.HeadBucketOutput, error) {
	return call(ctx, s.c, s3ID, "HeadBucket", exact, in, func(in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
		if _, err := s.c.bucket(in.Bucket); err != nil {
			return nil, &missing{&types.NotFound{Message: aws.String("Not Found")}} // an answer to HEAD has no body to say more
		}
		return &s3.HeadBucketOutput{BucketRegion: aws.String(s.c.options.Region)}, nil
	})
}

// GetObject implements the SDK's method.
func (s S3) GetObject(ctx ctx, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return call(ctx, s.c, s3ID, "GetObject", exact, in, func(in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
		b, err := s.c.bucket(in.Bucket)
		if err != nil {
			return nil, err
		}
		o := b[aws.ToString(in.Key)]
		switch {
		case o == nil:
			return nil, &missing{&types.NoSuchKey{Message: aws.String("The specified key does not exist.")}}
		case in.IfMatch != nil && *in.IfMatch != o.etag:
			return nil, unmet()
		case in.IfNoneMatch != nil && (*in.IfNoneMatch == o.etag || *in.IfNoneMatch == "*"):
			return nil, fail(http.StatusNotModified, "NotModified", "Not Modified")
		}
		return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(slices.Clone(o.body))), ETag: aws.String(o.etag),
			ContentLength: aws.Int64(int64(len(o.body))), LastModified: aws.Time(o.modified)}, nil
	})
}

func unmet() error {
	return fail(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
}

// PutObject implements the SDK's method, with its conditions.
func (s S3) PutObject(ctx ctx, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	var body []byte
	if in != nil && in.Body != nil { // read once: an attempt that is made again sends the same
		var err error
		if body, err = io.ReadAll(in.Body); err != nil {
			return nil, err
		}
	}
	return call(ctx, s.c, s3ID, "PutObject", write, in, func(in *s3.PutObjectInput) (*s3.PutObjectOutput, error) {
		b, err := s.c.bucket(in.Bucket)
		if err != nil {
			return nil, err
		}
		have := b[aws.ToString(in.Key)]
		switch {
		case in.IfNoneMatch != nil && *in.IfNoneMatch != "*":
			return nil, fail(http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented")
		case in.IfNoneMatch != nil && have != nil:
			return nil, unmet()
		case in.IfMatch != nil && have == nil:
			return nil, &missing{&types.NoSuchKey{Message: aws.String("The specified key does not exist.")}}
		case in.IfMatch != nil && *in.IfMatch != have.etag:
			return nil, unmet()
		}
		sum := md5.Sum(body)
		o := &object{body, `"` + hex.EncodeToString(sum[:]) + `"`, s.c.now}
		b[aws.ToString(in.Key)] = o
		return &s3.PutObjectOutput{ETag: aws.String(o.etag)}, nil
	})
}

// DeleteObject implements the SDK's method, with its condition.
func (s S3) DeleteObject(ctx ctx, in *s3.DeleteObjectInput, _ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	return call(ctx, s.c, s3ID, "DeleteObject", write, in, func(in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
		b, err := s.c.bucket(in.Bucket)
		if err != nil {
			return nil, err
		}
		have := b[aws.ToString(in.Key)]
		if in.IfMatch != nil && (have == nil || *in.IfMatch != have.etag) {
			return nil, unmet()
		}
		delete(b, aws.ToString(in.Key))
		return &s3.DeleteObjectOutput{}, nil
	})
}
