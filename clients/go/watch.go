package taskgate

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

const (
	// What the server takes where the request has none.
	defaultHeartbeat = 10 * time.Second
	// After how many heartbeats that did not come a connection is given up.
	silentHeartbeats = 3
)

// Event is what a watch tells: a [Snapshot], [TaskChange], [Heartbeat], [Reconnecting], [Resumed] or
// [WatchEnd].
type Event interface{ isEvent() }

// Snapshot has all the tasks there are. Whatever the watch told before is void.
type Snapshot struct {
	Tasks []*taskgatev1.Task
	// Reason is why there is one: the watch is new, or the server could not go on where it was.
	Reason taskgatev1.SnapshotReason
	// ObserveTime is when AWS gave the oldest answer of which the snapshot was made; zero: not told.
	ObserveTime time.Time
}

// TaskChange is a task that came, changed or went.
type TaskChange struct {
	// Task is as it now is; as it last was, if it went.
	Task *taskgatev1.Task
	Kind taskgatev1.TaskChangeKind
	// PreviousState is the one in which the server saw it before; unspecified for one that was added.
	PreviousState taskgatev1.TaskState
	// Sequence grows with each change of the same parent. Gaps mean nothing.
	Sequence int64
}

// Heartbeat says that nothing has happened for a while.
type Heartbeat struct {
	// Staleness is the time since AWS was last asked successfully about everything that is watched.
	Staleness *durationpb.Duration
	// NextPoll is the time until AWS is asked again, if all goes well.
	NextPoll *durationpb.Duration
	// UpstreamError is why AWS could not be asked lately, or nil.
	UpstreamError *Error
}

// Reconnecting says that the server was lost. It is called again after the delay.
type Reconnecting struct {
	Err   *Error
	Delay time.Duration
	// Failures is how many there have been since the server was last heard, this one included.
	Failures int
}

// Resumed says that the watch goes on where it was: nothing was missed, and no snapshot comes.
type Resumed struct{}

// WatchEnd is the last event: the watch has ended by itself.
type WatchEnd struct {
	Reason taskgatev1.WatchEndReason
	// Counts are of the tasks as a whole, at the end.
	Counts *taskgatev1.TaskCounts
	// ParentStatus is the state of the watched parent itself, with the reason if it failed. For a watch of
	// named tasks it is that of an ended parent whose tasks can never settle. It is nil if there is none,
	// and from an older server.
	ParentStatus *taskgatev1.ParentStatus
}

func (Snapshot) isEvent()     {}
func (TaskChange) isEvent()   {}
func (Heartbeat) isEvent()    {}
func (Reconnecting) isEvent() {}
func (Resumed) isEvent()      {}
func (WatchEnd) isEvent()     {}

// Watch gives the events of a watch. It is for one goroutine, but for Close.
type Watch struct {
	stream  *resumingStream[taskgatev1.WatchTasksResponse, Event]
	session *watchSession
}

// WatchTasks watches the tasks of a parent, or those named. When the connection breaks, the server is
// started anew, or nothing is heard for three heartbeats, the watch goes on by itself where it was: a
// [Reconnecting] tells of it, then [Resumed], or a new [Snapshot].
//
// It ends with its context, or by Close.
func (c *Client) WatchTasks(ctx context.Context, request *taskgatev1.WatchTasksRequest) *Watch {
	session := &watchSession{request: request, token: request.GetResumeToken()}
	open := func(ctx context.Context) (grpc.ServerStreamingClient[taskgatev1.WatchTasksResponse], error) {
		next := session.next()
		return c.tasks.WatchTasks(tellingParent(ctx, next), next)
	}
	lost := func(failure *Error, delay time.Duration, failures int) (Event, bool) {
		return Reconnecting{Err: failure, Delay: delay, Failures: failures}, true
	}
	return &Watch{newResumingStream(ctx, c.timing, open, session, lost), session}
}

// All gives the events for a range loop, and in the end the error if there was one: an [*Error] when
// the server was not reached at all, has not been for minutes, or refused, and when the time is up.
func (w *Watch) All() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		defer w.Close()
		for {
			event, err := w.Next()
			if errors.Is(err, io.EOF) || !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Next gives the next event, or io.EOF after the last one.
func (w *Watch) Next() (Event, error) { return w.stream.next() }

// Close ends the call and the iteration, from another goroutine too.
func (w *Watch) Close() { w.stream.close() }

// ResumeToken is where another watch of the same could go on after the events so far; may be empty.
func (w *Watch) ResumeToken() []byte { return w.session.token }

// watchSession is one watch, however often it has to be called for. A snapshot is handed on when it
// is whole. A call that breaks within one begins again: the tokens inside of it are of use only to
// those who keep its first part.
type watchSession struct {
	request  *taskgatev1.WatchTasksRequest
	token    []byte
	reason   taskgatev1.SnapshotReason
	snapshot []*taskgatev1.Task
	within   bool
	over     bool
}

func (s *watchSession) next() *taskgatev1.WatchTasksRequest {
	s.snapshot, s.within = nil, false
	request := proto.CloneOf(s.request)
	request.ResumeToken = s.token
	return request
}

func (s *watchSession) finished() bool { return s.over }

func (s *watchSession) silence() time.Duration { return silenceLimit(s.request.GetHeartbeatInterval()) }

// silenceLimit is how long without a message means that a stream with heartbeats is dead.
func silenceLimit(interval *durationpb.Duration) time.Duration {
	heartbeat := interval.AsDuration()
	if heartbeat == 0 {
		heartbeat = defaultHeartbeat
	}
	return silentHeartbeats * heartbeat
}

func (s *watchSession) end() *Error {
	if s.over {
		return nil
	}
	return &Error{Code: codes.Unavailable, Message: "the stream ended before the watch did"}
}

func (s *watchSession) take(response *taskgatev1.WatchTasksResponse) ([]Event, *Error) {
	events, failure := s.events(response)
	if failure == nil && len(response.GetResumeToken()) > 0 && !s.within {
		s.token = response.GetResumeToken()
	}
	return events, failure
}

func (s *watchSession) events(response *taskgatev1.WatchTasksResponse) ([]Event, *Error) {
	switch event := response.GetEvent().(type) {
	case *taskgatev1.WatchTasksResponse_SnapshotBegin:
		s.snapshot, s.within, s.reason = nil, true, event.SnapshotBegin.GetReason()
	case *taskgatev1.WatchTasksResponse_SnapshotTasks:
		if s.within {
			s.snapshot = append(s.snapshot, event.SnapshotTasks.GetTasks()...)
		}
	case *taskgatev1.WatchTasksResponse_SnapshotEnd:
		if s.within {
			return []Event{s.wholeSnapshot(event.SnapshotEnd)}, nil
		}
	case *taskgatev1.WatchTasksResponse_Resumed:
		return []Event{Resumed{}}, nil
	case *taskgatev1.WatchTasksResponse_TaskChange:
		change := event.TaskChange
		return []Event{TaskChange{
			Task: change.GetTask(), Kind: change.GetKind(),
			PreviousState: change.GetPreviousState(), Sequence: change.GetSequence(),
		}}, nil
	case *taskgatev1.WatchTasksResponse_Heartbeat:
		return []Event{heartbeatOf(event.Heartbeat)}, nil
	case *taskgatev1.WatchTasksResponse_WatchEnd:
		return s.ended(event.WatchEnd)
	default: // of a newer server
	}
	return nil, nil
}

func (s *watchSession) wholeSnapshot(end *taskgatev1.SnapshotEnd) Snapshot {
	whole := Snapshot{Tasks: s.snapshot, Reason: s.reason}
	if end.GetObserveTime() != nil {
		whole.ObserveTime = end.GetObserveTime().AsTime()
	}
	s.snapshot, s.within = nil, false
	return whole
}

func (s *watchSession) ended(end *taskgatev1.WatchEnd) ([]Event, *Error) {
	if end.GetReason() == taskgatev1.WatchEndReason_WATCH_END_REASON_SERVER_STOPPING {
		return nil, &Error{
			Code: codes.Unavailable, Message: "the server stops", Reason: serverStopping, Domain: "taskgate",
		}
	}
	s.over = true
	return []Event{WatchEnd{
		Reason: end.GetReason(), Counts: end.GetCounts(), ParentStatus: end.GetParentStatus(),
	}}, nil
}

func heartbeatOf(message *taskgatev1.Heartbeat) Heartbeat {
	heartbeat := Heartbeat{Staleness: message.GetStaleness(), NextPoll: message.GetNextPoll()}
	if message.GetUpstreamError() != nil {
		heartbeat.UpstreamError = errorOfStatus(message.GetUpstreamError())
	}
	return heartbeat
}
