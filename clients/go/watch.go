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
	// The server's interval for requests without one.
	defaultHeartbeat = 10 * time.Second
	// Number of missed heartbeats after which a connection counts as dead.
	maxMissedHeartbeats = 3
)

// Event is an event of a watch: a [Snapshot], [TaskChange], [Heartbeat], [Reconnecting], [Resumed] or
// [WatchEnd].
type Event interface{ isEvent() }

// Snapshot has all watched tasks. It replaces everything that earlier events reported.
type Snapshot struct {
	Tasks []*taskgatev1.Task
	// Reason is why it was sent: the watch is new, or the server could not resume it.
	Reason taskgatev1.SnapshotReason
	// ObserveTime is when AWS returned the oldest response that is part of it; zero if unknown.
	ObserveTime time.Time
}

// TaskChange reports that a task was added, updated or removed.
type TaskChange struct {
	// Task is the current task; the last known one if it was removed.
	Task *taskgatev1.Task
	Kind taskgatev1.TaskChangeKind
	// PreviousState is the state before; unspecified for an added task.
	PreviousState taskgatev1.TaskState
	// Sequence increases with each change of the same parent. Gaps have no meaning.
	Sequence int64
}

// Heartbeat reports that there was no other event for a while.
type Heartbeat struct {
	// Staleness is the time since AWS last returned the state of everything that is watched.
	Staleness *durationpb.Duration
	// NextPoll is the time until the next poll of AWS.
	NextPoll *durationpb.Duration
	// UpstreamError is why the latest poll of AWS failed, or nil.
	UpstreamError *Error
}

// Reconnecting reports that the call broke. The client calls again after the delay and resumes the
// watch.
type Reconnecting struct {
	Err   *Error
	Delay time.Duration
	// Failures is the number of failures since the latest message of the server, with this one.
	Failures int
}

// Resumed reports that the watch resumed without a snapshot; no change was missed.
type Resumed struct{}

// WatchEnd is the last event: the watch is complete.
type WatchEnd struct {
	Reason taskgatev1.WatchEndReason
	// Counts are the watched tasks by state.
	Counts *taskgatev1.TaskCounts
	// ParentStatus is the state of the watched parent itself, with the reason if it failed. For a watch of
	// named tasks it is that of an ended parent whose tasks can never settle. Older servers send none.
	ParentStatus *taskgatev1.ParentStatus
}

func (Snapshot) isEvent()     {}
func (TaskChange) isEvent()   {}
func (Heartbeat) isEvent()    {}
func (Reconnecting) isEvent() {}
func (Resumed) isEvent()      {}
func (WatchEnd) isEvent()     {}

// Watch is an iterator over the events of a watch. Only Close is safe for concurrent use.
type Watch struct {
	stream  *resumingStream[taskgatev1.WatchTasksResponse, Event]
	session *watchSession
}

// WatchTasks watches the tasks of a parent, or the named tasks: a snapshot first, then every change. When
// the connection breaks, the server restarts, or three heartbeats are missed, the client reconnects and
// resumes the watch: after a [Reconnecting] comes [Resumed], or another [Snapshot].
//
// The watch ends with its context, or by Close.
func (c *Client) WatchTasks(ctx context.Context, request *taskgatev1.WatchTasksRequest) *Watch {
	session := &watchSession{request: request, token: request.GetResumeToken()}
	open := func(ctx context.Context) (grpc.ServerStreamingClient[taskgatev1.WatchTasksResponse], error) {
		next := session.next()
		return c.tasks.WatchTasks(c.withMetadata(ctx, next), next)
	}
	reconnecting := func(failure *Error, delay time.Duration, failures int) (Event, bool) {
		return Reconnecting{Err: failure, Delay: delay, Failures: failures}, true
	}
	return &Watch{newResumingStream(ctx, c.timing, open, session, reconnecting), session}
}

// All returns an iterator over the events. If it fails, its last pair has an [*Error]: the server refused
// the call, was unreachable at the first attempt or for several minutes, or the context ended.
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

// Next returns the next event, io.EOF after the last one, or an [*Error].
func (w *Watch) Next() (Event, error) { return w.stream.next() }

// Close ends the call and the iteration.
func (w *Watch) Close() { w.stream.close() }

// ResumeToken returns where another watch can resume after the events so far; may be empty.
func (w *Watch) ResumeToken() []byte { return w.session.token }

// watchSession is the state of a watch over several calls. It does no input or output. It returns a
// snapshot only when it is complete. If a call breaks within one, the next call starts over: a resume
// token from within a snapshot is valid only for a client that keeps the part it has received.
type watchSession struct {
	request    *taskgatev1.WatchTasksRequest
	token      []byte
	reason     taskgatev1.SnapshotReason
	snapshot   []*taskgatev1.Task
	inSnapshot bool
	done       bool
}

func (s *watchSession) next() *taskgatev1.WatchTasksRequest {
	s.snapshot, s.inSnapshot = nil, false
	request := proto.CloneOf(s.request)
	request.ResumeToken = s.token
	return request
}

func (s *watchSession) finished() bool { return s.done }

func (s *watchSession) silence() time.Duration { return silenceLimit(s.request.GetHeartbeatInterval()) }

// silenceLimit returns after how long without a message a stream with heartbeats is dead.
func silenceLimit(interval *durationpb.Duration) time.Duration {
	heartbeat := interval.AsDuration()
	if heartbeat == 0 {
		heartbeat = defaultHeartbeat
	}
	return maxMissedHeartbeats * heartbeat
}

func (s *watchSession) end() *Error {
	if s.done {
		return nil
	}
	return &Error{Code: codes.Unavailable, Message: "the stream ended before the watch did"}
}

func (s *watchSession) take(response *taskgatev1.WatchTasksResponse) ([]Event, *Error) {
	events, failure := s.events(response)
	if failure == nil && len(response.GetResumeToken()) > 0 && !s.inSnapshot {
		s.token = response.GetResumeToken()
	}
	return events, failure
}

func (s *watchSession) events(response *taskgatev1.WatchTasksResponse) ([]Event, *Error) {
	switch event := response.GetEvent().(type) {
	case *taskgatev1.WatchTasksResponse_SnapshotBegin:
		s.snapshot, s.inSnapshot, s.reason = nil, true, event.SnapshotBegin.GetReason()
	case *taskgatev1.WatchTasksResponse_SnapshotTasks:
		if s.inSnapshot {
			s.snapshot = append(s.snapshot, event.SnapshotTasks.GetTasks()...)
		}
	case *taskgatev1.WatchTasksResponse_SnapshotEnd:
		if s.inSnapshot {
			return []Event{s.completeSnapshot(event.SnapshotEnd)}, nil
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
	default: // an event of a newer server
	}
	return nil, nil
}

func (s *watchSession) completeSnapshot(end *taskgatev1.SnapshotEnd) Snapshot {
	snapshot := Snapshot{Tasks: s.snapshot, Reason: s.reason}
	if end.GetObserveTime() != nil {
		snapshot.ObserveTime = end.GetObserveTime().AsTime()
	}
	s.snapshot, s.inSnapshot = nil, false
	return snapshot
}

func (s *watchSession) ended(end *taskgatev1.WatchEnd) ([]Event, *Error) {
	if end.GetReason() == taskgatev1.WatchEndReason_WATCH_END_REASON_SERVER_STOPPING {
		return nil, &Error{
			Code: codes.Unavailable, Message: "the server is shutting down", Reason: serverStopping, Domain: "taskgate",
		}
	}
	s.done = true
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
