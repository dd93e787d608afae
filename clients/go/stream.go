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

// session is what goes on over many calls: a watch or a log. It is free of input and output.
type session[Response, Event any] interface {
	// take gives the events in a message, or an error where the call is of no more use.
	take(response *Response) ([]Event, *Error)
	// end notes that the server has closed the call, and gives an error if it should not have.
	end() *Error
	finished() bool
	// silence is how long without a message means that the connection is dead; 0: never.
	silence() time.Duration
}

type openCall[Response any] = func(context.Context) (grpc.ServerStreamingClient[Response], error)

// resumingStream goes on with another call when one breaks. It is for one goroutine, but for close.
type resumingStream[Response, Event any] struct {
	ctx     context.Context
	stop    context.CancelFunc
	open    openCall[Response]
	session session[Response, Event]
	// lost gives the event that tells of a break; false for one that needs no telling.
	lost   func(failure *Error, delay time.Duration, failures int) (Event, bool)
	timing timing

	reconnects reconnects
	ready      []Event
	delay      time.Duration
	call       grpc.ServerStreamingClient[Response]
	dropCall   context.CancelFunc
	closed     atomic.Bool
}

func newResumingStream[Response, Event any](
	ctx context.Context, timing timing, open openCall[Response], session session[Response, Event],
	lost func(*Error, time.Duration, int) (Event, bool),
) *resumingStream[Response, Event] {
	own, stop := context.WithCancel(ctx)
	return &resumingStream[Response, Event]{
		ctx: own, stop: stop, open: open, session: session, lost: lost, timing: timing,
		reconnects: reconnects{random: timing.random},
	}
}

// next gives the next event, io.EOF after the last one, or the error that ended it.
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

// close ends the call; what waits for an event hears io.EOF.
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
		return s.over(err)
	}
	delay, ok := s.reconnects.delayAfter(failure, s.timing.now())
	if !ok {
		return failure
	}
	s.delay = delay
	if event, tell := s.lost(failure, delay, s.reconnects.failures); tell {
		s.ready = append(s.ready, event)
	}
	return nil
}

// over is what the end of the context means: close, the caller's cancellation, or the time is up.
func (s *resumingStream[Response, Event]) over(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: codes.DeadlineExceeded, Message: "the time is up"}
	}
	if s.closed.Load() {
		return io.EOF
	}
	return &Error{Code: codes.Canceled, Message: "the caller gave up"}
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

// read gives the next message; nil when the server has closed the call. Time in which the caller does
// something else does not count as silence.
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
			Message: fmt.Sprintf("nothing was heard from the server for %g s", limit.Seconds()),
		}
	default:
		return nil, ErrorOf(err)
	}
}
