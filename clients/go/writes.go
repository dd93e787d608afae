package taskgate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	// sinceWriteKey is the metadata key of the seconds since the latest write whose effect a read must
	// show. A replica that shares nothing with the one that executed the write then returns only what AWS
	// returned after it. No clocks are compared: the time that the request takes only makes the response
	// fresher.
	sinceWriteKey = "taskgate-since-write"
	// Older writes are not sent: no server caches a response for longer.
	maxSinceWrite = 300 * time.Second
	// maxWrittenParents is the number of jobs and runs whose latest write is stored. With more, all of them
	// count as written.
	maxWrittenParents = 1000
)

// readPrefixes are how the names of RPCs that read begin. All others may write.
var readPrefixes = []string{"BatchGet", "Get", "List", "Search", "Stream", "Summarize", "Wait", "Watch"}

// isRead reports whether an RPC reads, by its path, such as "/taskgate.v1.TaskService/GetTask".
func isRead(path string) bool {
	name := path[strings.LastIndex(path, "/")+1:]
	for _, prefix := range readPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isWrite reports whether an RPC may write; those of gRPC's own services, such as health, do not.
func isWrite(path string) bool { return !isRead(path) && !strings.HasPrefix(path, "/grpc.") }

// writes is when the latest writes of a client ended, by job or run. It is safe for concurrent use.
type writes struct {
	now   func() time.Time
	mutex sync.Mutex
	// latest is when the latest write of anything ended; zero if there was none.
	latest time.Time
	// ofAll is when the latest write ended that may concern any job or run.
	ofAll    time.Time
	byParent map[string]time.Time
}

func newWrites(now func() time.Time) *writes {
	return &writes{now: now, byParent: map[string]time.Time{}}
}

// record records that a write of jobs and runs has ended; nil if it may concern others. One that failed may
// have been executed all the same.
func (w *writes) record(parents []string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.latest = w.now()
	for _, parent := range parents {
		w.byParent[parent] = w.latest
	}
	if parents == nil || len(w.byParent) > maxWrittenParents {
		clear(w.byParent)
		w.ofAll = w.latest
	}
}

// since returns the seconds since the latest write of jobs and runs, rounded down; nil if a read may concern
// others. It returns the empty string if there was no write that matters.
func (w *writes) since(parents []string) string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	ended := w.ofAll
	if parents == nil {
		ended = w.latest
	}
	for _, parent := range parents {
		if at := w.byParent[parent]; at.After(ended) {
			ended = at
		}
	}
	if ended.IsZero() {
		return ""
	}
	elapsed := w.now().Sub(ended)
	if elapsed > maxSinceWrite {
		return ""
	}
	milliseconds := elapsed.Milliseconds()
	return fmt.Sprintf("%d.%03d", milliseconds/1000, milliseconds%1000)
}

// withSince returns the context for a read, with the time since the latest write of jobs and runs.
func (w *writes) withSince(ctx context.Context, parents []string) context.Context {
	if since := w.since(parents); since != "" {
		return metadata.AppendToOutgoingContext(ctx, sinceWriteKey, since)
	}
	return ctx
}

// call makes a call that concerns jobs and runs; nil if it may concern others.
func (w *writes) call(
	ctx context.Context, path string, parents []string, invoke func(context.Context) error,
) error {
	if isRead(path) {
		ctx = w.withSince(ctx, parents)
	}
	if isWrite(path) {
		defer w.record(parents)
	}
	return invoke(ctx)
}

// writeConnection records the writes of stubs, and adds the time since then to the metadata of their reads.
type writeConnection struct {
	grpc.ClientConnInterface
	writes *writes
}

// Invoke makes a unary call.
func (c writeConnection) Invoke(
	ctx context.Context, path string, request, response any, options ...grpc.CallOption,
) error {
	return c.writes.call(ctx, path, nil, func(ctx context.Context) error {
		return c.ClientConnInterface.Invoke(ctx, path, request, response, options...)
	})
}

// NewStream opens a stream.
func (c writeConnection) NewStream(
	ctx context.Context, description *grpc.StreamDesc, path string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if isRead(path) {
		ctx = c.writes.withSince(ctx, nil)
	}
	stream, err := c.ClientConnInterface.NewStream(ctx, description, path, options...)
	if !isWrite(path) {
		return stream, err
	}
	c.writes.record(nil) // a caller that leaves the stream does not receive its end
	if err != nil {
		return nil, err
	}
	return writeStream{stream, c.writes}, nil
}

// writeStream is a stream that may write, such as an upload.
type writeStream struct {
	grpc.ClientStream
	writes *writes
}

// RecvMsg receives a message, or the end of the stream.
func (s writeStream) RecvMsg(message any) error {
	defer s.writes.record(nil)
	return s.ClientStream.RecvMsg(message)
}
