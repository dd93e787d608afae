package taskgate

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

const (
	// Timeout of one call. Load balancers cut calls that last for hours.
	maxCall = 5 * time.Minute
	// MaxWait of requests without one. Proxies cut calls that are silent for longer; 30 s is a common
	// limit.
	maxWait = 25 * time.Second
	// Minimum time for another call, and minimum interval between calls.
	minCall = time.Second
)

// WaitTask waits until a task is in one of the request's states, or has settled if it has none. It
// makes as many calls as it takes, also across restarts of the server.
//
// Done of the response is whether the task is in one of the states, has settled in another one, or can
// never settle because its run or job has ended, which ParentStatus then describes. It is false if the
// context's deadline is near.
func (c *Client) WaitTask(
	ctx context.Context, request *taskgatev1.WaitTaskRequest,
) (*taskgatev1.WaitTaskResponse, error) {
	if request.GetMaxWait() == nil {
		request = proto.CloneOf(request)
		request.MaxWait = durationpb.New(maxWait)
	}
	session := waitSession{reconnects: reconnects{random: c.timing.random}}
	session.end, session.hasEnd = ctx.Deadline()
	for {
		start := c.timing.now()
		bounded, cancel := context.WithTimeout(ctx, maxCall)
		response, err := c.tasks.WaitTask(bounded, request)
		cancel()
		if ctx.Err() == context.Canceled {
			return nil, converted(ctx.Err())
		}
		pause, done, failure := session.take(response, ErrorOf(err), start, c.timing.now())
		if failure != nil {
			return nil, failure
		}
		if done {
			return session.response, nil
		}
		if err := c.timing.sleep(ctx, pause); err != nil {
			return nil, converted(err)
		}
	}
}

// waitSession is the state of a wait over several calls. It does no input or output.
type waitSession struct {
	end        time.Time
	hasEnd     bool
	reconnects reconnects
	response   *taskgatev1.WaitTaskResponse
}

// take handles a response or a failure. It returns the pause before the next call, whether the wait is
// over, and the error that ends it.
func (s *waitSession) take(
	response *taskgatev1.WaitTaskResponse, failure *Error, start, now time.Time,
) (time.Duration, bool, *Error) {
	timedOut := s.hasEnd && s.end.Sub(now) < minCall
	if failure == nil {
		s.response = response
		s.reconnects.reached(now)
		if response.GetDone() || timedOut {
			return 0, true, nil
		}
		if now.Sub(start) < minCall {
			return minCall, false, nil // a server that is shutting down responds early
		}
		return 0, false, nil
	}
	if timedOut {
		if s.response != nil && failure.Code == codes.DeadlineExceeded {
			return 0, true, nil
		}
		return 0, false, failure
	}
	if now.Sub(start) > minCall {
		// A refused connection fails faster: the server was there when the call started.
		s.reconnects.reached(start)
	}
	delay, ok := s.reconnects.delayAfter(failure, now)
	if !ok {
		return 0, false, failure
	}
	return delay, false, nil
}
