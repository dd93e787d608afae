package taskgate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// session is what outlives a call: a watch or a log. It does no input or output.
type session[Response, Event any] interface {
	// take returns the events in a response, or an error to end the call.
	take(response *Response) ([]Event, *Error)
	// end handles a call that the server has ended, and returns an error if it ended too early.
	end() *Error
	finished() bool
	// silence returns after how long without a message the connection counts as dead; 0 for never.
	silence() time.Duration
}

// deadlineGrace is how much earlier than the context a server may report that the deadline has passed.
const deadlineGrace = 100 * time.Millisecond

type openCall[Response any] = func(context.Context) (grpc.ServerStreamingClient[Response], error)

// resumingStream is an iterator over the events of a stream, which calls again when a call breaks. Only
// close is safe for concurrent use.
type resumingStream[Response, Event any] struct {
	ctx     context.Context
	stop    context.CancelFunc
	open    openCall[Response]
	session session[Response, Event]
	// reconnecting returns the event for a call that broke; false if there is none.
	reconnecting func(failure *Error, delay time.Duration, failures int) (Event, bool)
	timing       timing

	reconnects reconnects
	ready      []Event
	delay      time.Duration
	call       grpc.ServerStreamingClient[Response]
	dropCall   context.CancelFunc
	closed     atomic.Bool
}

func newResumingStream[Response, Event any](
	ctx context.Context, timing timing, open openCall[Response], session session[Response, Event],
	reconnecting func(*Error, time.Duration, int) (Event, bool),
) *resumingStream[Response, Event] {
	streamCtx, stop := context.WithCancel(ctx)
	return &resumingStream[Response, Event]{
		ctx: streamCtx, stop: stop, open: open, session: session, reconnecting: reconnecting, timing: timing,
		reconnects: reconnects{random: timing.random},
	}
}

// next returns the next event, io.EOF after the last one, or the error that ended the stream.
func (s *resumingStream[Response, Event]) next() (Event, error) {
	var none Event
	for len(s.ready) == 0 {
		if s.closed.Load() || s.session.finished() {
			s.close()
			return none, io.EOF
		}
		if err := s.advance(); err != nil {
			s.close()
			return none, err
		}
	}
	event := s.ready[0]
	s.ready = s.ready[1:]
	return event, nil
}

// close ends the call; a pending next returns io.EOF.
func (s *resumingStream[Response, Event]) close() {
	s.closed.Store(true)
	s.stop()
}

func (s *resumingStream[Response, Event]) advance() error {
	failure := s.receive()
	if failure == nil {
		return nil
	}
	if s.dropCall != nil {
		s.dropCall()
		s.call, s.dropCall = nil, nil
	}
	if err := s.ctx.Err(); err != nil {
		return s.contextError(err)
	}
	deadline, ok := s.ctx.Deadline()
	if ok && failure.Code == codes.DeadlineExceeded && deadline.Sub(s.timing.now()) < deadlineGrace {
		return s.contextError(context.DeadlineExceeded)
	}
	delay, ok := s.reconnects.delayAfter(failure, s.timing.now())
	if !ok {
		return failure
	}
	s.delay = delay
	if event, ok := s.reconnecting(failure, delay, s.reconnects.failures); ok {
		s.ready = append(s.ready, event)
	}
	return nil
}

// contextError returns the error for the end of the context: by close, by the caller, or by its
// deadline.
func (s *resumingStream[Response, Event]) contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: codes.DeadlineExceeded, Message: "timed out"}
	}
	if s.closed.Load() {
		return io.EOF
	}
	return &Error{Code: codes.Canceled, Message: "cancelled by the caller"}
}

func (s *resumingStream[Response, Event]) receive() *Error {
	if s.call == nil {
		if err := s.timing.sleep(s.ctx, s.delay); err != nil {
			return ErrorOf(err)
		}
		s.delay = 0
		ctx, drop := context.WithCancel(s.ctx)
		s.dropCall = drop
		call, err := s.open(ctx)
		if err != nil {
			return ErrorOf(err)
		}
		s.call = call
	}
	response, failure := s.read()
	if failure != nil {
		return failure
	}
	if response == nil {
		drop := s.dropCall
		s.call, s.dropCall = nil, nil
		drop()
		return s.session.end()
	}
	s.reconnects.reached(s.timing.now())
	events, failure := s.session.take(response)
	s.ready = append(s.ready, events...)
	return failure
}

// read returns the next message; nil when the server has ended the call. Time between two reads does
// not count as silence.
func (s *resumingStream[Response, Event]) read() (*Response, *Error) {
	limit := s.session.silence()
	silent := make(chan struct{})
	if limit > 0 {
		watchdog := time.AfterFunc(limit, func() {
			close(silent)
			s.dropCall()
		})
		defer watchdog.Stop()
	}
	response, err := s.call.Recv()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		return response, nil
	}
	select {
	case <-silent:
		return nil, &Error{
			Code:    codes.Unavailable,
			Message: fmt.Sprintf("no message from the server for %g s", limit.Seconds()),
		}
	default:
		return nil, ErrorOf(err)
	}
}
