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
	// How long one call may wait. Load balancers cut calls that live for hours.
	longestCall = 5 * time.Minute
	// The request's MaxWait if it has none. Proxies cut calls that are silent for longer; 30 s is a common
	// limit.
	maxWait = 25 * time.Second
	// With less time than that left there is no point in asking again.
	shortestCall = time.Second
)

// WaitTask waits until a task is in one of the request's states, or has settled if it names none. It
// asks again as often as it takes, also across restarts of the server.
//
// The response's Done tells whether the task is in one of the states, has settled in another one, or can
// never settle because its run or job has ended, which ParentStatus then describes; false: the context's
// deadline is near.
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
		asked := c.timing.now()
		bounded, cancel := context.WithTimeout(ctx, longestCall)
		answer, err := c.tasks.WaitTask(bounded, request)
		cancel()
		if ctx.Err() == context.Canceled {
			return nil, told(ctx.Err())
		}
		pause, over, failure := session.take(answer, ErrorOf(err), asked, c.timing.now())
		if failure != nil {
			return nil, failure
		}
		if over {
			return session.answer, nil
		}
		if err := c.timing.sleep(ctx, pause); err != nil {
			return nil, told(err)
		}
	}
}

// waitSession is one waiting, over any number of calls. It is free of input and output.
type waitSession struct {
	end        time.Time
	hasEnd     bool
	reconnects reconnects
	answer     *taskgatev1.WaitTaskResponse
}

// take makes something of an answer or a failure: how long to wait before asking again, whether the
// waiting is over, or the error that ends it.
func (s *waitSession) take(
	answer *taskgatev1.WaitTaskResponse, failure *Error, asked, now time.Time,
) (time.Duration, bool, *Error) {
	late := s.hasEnd && s.end.Sub(now) < shortestCall
	if failure == nil {
		s.answer = answer
		s.reconnects.reached(now)
		if answer.GetDone() || late {
			return 0, true, nil
		}
		if now.Sub(asked) < shortestCall {
			return shortestCall, false, nil // a server that stops answers early
		}
		return 0, false, nil
	}
	if late {
		if s.answer != nil && failure.Code == codes.DeadlineExceeded {
			return 0, true, nil
		}
		return 0, false, failure
	}
	if now.Sub(asked) > shortestCall {
		s.reconnects.reached(asked) // nobody refuses a connection that slowly
	}
	delay, ok := s.reconnects.delayAfter(failure, now)
	if !ok {
		return 0, false, failure
	}
	return delay, false, nil
}
