package image

import (
	"context"
	"fmt"
	"io"
)

// limits bound what one image may cost: they stop archives that unpack to far
// more than they weigh.
type limits struct {
	bytes    int64 // of all files together, unpacked
	files    int   // entries of all layers together
	metadata int64 // of one manifest, index or configuration
}

var defaultLimits = limits{bytes: 16 << 30, files: 500_000, metadata: 4 << 20}

// budget is what is left of limits while one archive or image is read.
type budget struct {
	limits
	usedBytes int64
	usedFiles int
}

func (b *budget) file() error {
	if b.usedFiles++; b.usedFiles > b.files {
		return fmt.Errorf("%w: more than %d files", ErrTooLarge, b.files)
	}
	return nil
}

// reader counts what is read through it, and ends with the context.
func (b *budget) reader(ctx context.Context, r io.Reader) io.Reader {
	return &counted{ctx: ctx, r: r, b: b}
}

type counted struct {
	ctx context.Context
	r   io.Reader
	b   *budget
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if c.b.usedBytes += int64(n); c.b.usedBytes > c.b.bytes {
		return 0, fmt.Errorf("%w: more than %d bytes unpacked", ErrTooLarge, c.b.bytes)
	}
	return n, err
}
