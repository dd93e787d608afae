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

// TaskLog gives the lines of a log. It is for one goroutine, but for Close.
type TaskLog struct {
	stream  *resumingStream[taskgatev1.StreamTaskLogsResponse, *taskgatev1.LogLine]
	session *logSession
}

// StreamTaskLogs reads what a task has written to its log, and with Follow what it writes later. When
// the connection breaks, or three heartbeats of the server do not come, it calls again and continues;
// no line is returned twice.
func (c *Client) StreamTaskLogs(ctx context.Context, request *taskgatev1.StreamTaskLogsRequest) *TaskLog {
	session := &logSession{request: request, sameAttempt: true}
	open := func(ctx context.Context) (grpc.ServerStreamingClient[taskgatev1.StreamTaskLogsResponse], error) {
		next := session.next()
		return c.tasks.StreamTaskLogs(tellingParent(ctx, next), next)
	}
	lost := func(*Error, time.Duration, int) (*taskgatev1.LogLine, bool) { return nil, false }
	return &TaskLog{newResumingStream(ctx, c.timing, open, session, lost), session}
}

// All gives the lines for a range loop, and in the end the error if there was one.
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

// Next gives the next line, or io.EOF after the last one.
func (l *TaskLog) Next() (*taskgatev1.LogLine, error) { return l.stream.next() }

// Close ends the call and the iteration, from another goroutine too.
func (l *TaskLog) Close() { l.stream.close() }

// Source is where the log is and which attempt's it is; nil until the server has said so.
func (l *TaskLog) Source() *taskgatev1.LogSource { return l.session.source }

// logSession is one reading of a log.
//
// A log that is followed goes on with the next attempt when the task is retried. After a break it goes
// on with the same attempt first, so that no line of it is missed, then with those after it, from the
// moment of the last line on. CloudWatch Logs tells time to the millisecond only, so the lines of that
// moment come again; as many as were told are left out.
type logSession struct {
	request     *taskgatev1.StreamTaskLogsRequest
	source      *taskgatev1.LogSource
	last        *taskgatev1.LogLine
	told        int32
	toldAtLast  int32
	skip        int32
	sameAttempt bool
	goesOn      bool
	over        bool
	// hasHeartbeats is whether the present call has had any: older servers send none.
	hasHeartbeats bool
}

func (s *logSession) next() *taskgatev1.StreamTaskLogsRequest {
	request := proto.CloneOf(s.request)
	anyAttempt := request.GetFollow() && request.Attempt == nil
	if s.sameAttempt && s.source.GetAttempt() != 0 {
		request.Attempt = proto.Int32(s.source.GetAttempt()) // a retry meanwhile is another log
		s.goesOn = anyAttempt
	}
	s.sameAttempt = true
	if s.last != nil {
		request.Since = s.last.GetTime()
		request.Tail = 0
		if request.GetLimit() != 0 {
			request.Limit += s.toldAtLast - s.told
		}
	}
	s.skip = s.toldAtLast
	s.hasHeartbeats = false
	return request
}

func (s *logSession) finished() bool { return s.over }

// silence is endless without heartbeats: a log may be silent for as long as its task computes.
func (s *logSession) silence() time.Duration {
	if !s.hasHeartbeats {
		return 0
	}
	return silenceLimit(s.request.GetHeartbeatInterval())
}

func (s *logSession) end() *Error {
	s.over = s.over || !s.goesOn
	s.goesOn, s.sameAttempt = false, false
	return nil
}

func (s *logSession) take(response *taskgatev1.StreamTaskLogsResponse) ([]*taskgatev1.LogLine, *Error) {
	if response.GetSource() != nil {
		s.begin(response.GetSource())
	}
	if response.GetHeartbeat() != nil {
		s.hasHeartbeats = true
	}
	var lines []*taskgatev1.LogLine
	for _, line := range response.GetLines().GetLines() {
		if !s.over && s.isNew(line) {
			lines = append(lines, line)
			s.over = s.told == s.request.GetLimit() // 0 is none, and never reached
		}
	}
	return lines, nil
}

// begin notes the source; another attempt's lines are none of those that were told.
func (s *logSession) begin(source *taskgatev1.LogSource) {
	if s.source != nil && source.GetAttempt() != s.source.GetAttempt() {
		s.last, s.toldAtLast, s.skip = nil, 0, 0
	}
	s.source = source
}

func (s *logSession) isNew(line *taskgatev1.LogLine) bool {
	sameMoment := s.last != nil && proto.Equal(line.GetTime(), s.last.GetTime())
	if sameMoment && s.skip > 0 {
		s.skip--
		return false
	}
	s.skip = 0
	if sameMoment {
		s.toldAtLast++
	} else {
		s.toldAtLast = 1
	}
	s.told++
	s.last = line
	return true
}
