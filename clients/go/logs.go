package taskgate

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

// TaskLog is an iterator over the lines of a log. Only Close is safe for concurrent use.
type TaskLog struct {
	stream  *resumingStream[taskgatev1.StreamTaskLogsResponse, *taskgatev1.LogLine]
	session *logSession
}

// StreamTaskLogs reads the log of a task; with Follow it continues until the task has settled. When the
// connection breaks, or three heartbeats are missed, the client calls again and continues. It returns no
// line twice.
func (c *Client) StreamTaskLogs(ctx context.Context, request *taskgatev1.StreamTaskLogsRequest) *TaskLog {
	session := &logSession{request: request, resumeAttempt: true}
	open := func(ctx context.Context) (grpc.ServerStreamingClient[taskgatev1.StreamTaskLogsResponse], error) {
		next := session.next()
		return c.tasks.StreamTaskLogs(c.withMetadata(ctx, next), next)
	}
	reconnecting := func(*Error, time.Duration, int) (*taskgatev1.LogLine, bool) { return nil, false }
	return &TaskLog{newResumingStream(ctx, c.timing, open, session, reconnecting), session}
}

// All returns an iterator over the lines. If it fails, its last pair has the error.
func (l *TaskLog) All() iter.Seq2[*taskgatev1.LogLine, error] {
	return func(yield func(*taskgatev1.LogLine, error) bool) {
		defer l.Close()
		for {
			line, err := l.Next()
			if errors.Is(err, io.EOF) || !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// Next returns the next line, io.EOF after the last one, or an [*Error].
func (l *TaskLog) Next() (*taskgatev1.LogLine, error) { return l.stream.next() }

// Close ends the call and the iteration.
func (l *TaskLog) Close() { l.stream.close() }

// Source returns where the log is, and of which attempt; nil until the server has sent it.
func (l *TaskLog) Source() *taskgatev1.LogSource { return l.session.source }

// logSession is the state of a log that is read over several calls. It does no input or output.
//
// A followed log continues with the next attempt when the task is retried. After a break the session
// first reads the rest of the interrupted attempt, so that it misses no line, and then later attempts.
// It requests the lines since the time of the last one. As CloudWatch Logs has a resolution of one
// millisecond, lines of that time come again; the session skips as many as it has returned.
type logSession struct {
	request             *taskgatev1.StreamTaskLogsRequest
	source              *taskgatev1.LogSource
	last                *taskgatev1.LogLine
	returned            int32
	returnedAtLastTime  int32
	skip                int32
	resumeAttempt       bool
	laterAttemptsFollow bool
	done                bool
	// hasHeartbeats is whether the current call has sent one; older servers send none.
	hasHeartbeats bool
}

func (s *logSession) next() *taskgatev1.StreamTaskLogsRequest {
	request := proto.CloneOf(s.request)
	anyAttempt := request.GetFollow() && request.Attempt == nil
	if s.resumeAttempt && s.source.GetAttempt() != 0 {
		request.Attempt = proto.Int32(s.source.GetAttempt()) // after a retry the latest would be another log
		s.laterAttemptsFollow = anyAttempt
	}
	s.resumeAttempt = true
	if s.last != nil {
		request.Since = s.last.GetTime()
		request.Tail = 0
		if request.GetLimit() != 0 {
			request.Limit += s.returnedAtLastTime - s.returned
		}
	}
	s.skip = s.returnedAtLastTime
	s.hasHeartbeats = false
	return request
}

func (s *logSession) finished() bool { return s.done }

// silence returns 0 without heartbeats: a log may be silent for as long as its task computes.
func (s *logSession) silence() time.Duration {
	if !s.hasHeartbeats {
		return 0
	}
	return silenceLimit(s.request.GetHeartbeatInterval())
}

func (s *logSession) end() *Error {
	s.done = s.done || !s.laterAttemptsFollow
	s.laterAttemptsFollow, s.resumeAttempt = false, false
	return nil
}

func (s *logSession) take(response *taskgatev1.StreamTaskLogsResponse) ([]*taskgatev1.LogLine, *Error) {
	if response.GetSource() != nil {
		s.setSource(response.GetSource())
	}
	if response.GetHeartbeat() != nil {
		s.hasHeartbeats = true
	}
	var lines []*taskgatev1.LogLine
	for _, line := range response.GetLines().GetLines() {
		if !s.done && s.isNew(line) {
			lines = append(lines, line)
			s.done = s.returned == s.request.GetLimit() // 0 for none: never equal
		}
	}
	return lines, nil
}

// setSource sets the source; with another attempt there are no repeated lines to skip.
func (s *logSession) setSource(source *taskgatev1.LogSource) {
	if s.source != nil && source.GetAttempt() != s.source.GetAttempt() {
		s.last, s.returnedAtLastTime, s.skip = nil, 0, 0
	}
	s.source = source
}

func (s *logSession) isNew(line *taskgatev1.LogLine) bool {
	sameTime := s.last != nil && proto.Equal(line.GetTime(), s.last.GetTime())
	if sameTime && s.skip > 0 {
		s.skip--
		return false
	}
	s.skip = 0
	if sameTime {
		s.returnedAtLastTime++
	} else {
		s.returnedAtLastTime = 1
	}
	s.returned++
	s.last = line
	return true
}
