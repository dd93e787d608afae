package taskgate

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	firstDelay   = time.Second
	longestDelay = 10 * time.Second
	patience     = 5 * time.Minute

	serverStopping = "SERVER_STOPPING"
)

// timing is where time and chance come from.
type timing struct {
	now    func() time.Time
	sleep  func(context.Context, time.Duration) error
	random func() float64
}

func realTiming() timing {
	return timing{
		now: time.Now,
		sleep: func(ctx context.Context, pause time.Duration) error {
			timer := time.NewTimer(pause)
			defer timer.Stop()
			select {
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		random: rand.Float64,
	}
}

// reconnects decides, failure by failure, whether to go on and after how long. It is free of clock
// and network. A server that was never reached is not waited for, so that a wrong address shows at
// once.
type reconnects struct {
	random   func() float64
	contact  time.Time
	moved    time.Time
	failures int
}

// reached notes that the server has answered.
func (r *reconnects) reached(now time.Time) {
	r.contact = now
	r.failures = 0
}

// delayAfter is how long to wait before the next attempt; false for an error that is final, or when
// the patience is at an end.
//
// Full jitter: the many callers of one server that is lost must not come back all at once. One that
// stops has said so before it let its callers go, and has others take them: there is nothing to wait
// for, the first time.
func (r *reconnects) delayAfter(failure *Error, now time.Time) (time.Duration, bool) {
	if r.contact.IsZero() || now.Sub(r.contact) > patience || !passes(failure) {
		return 0, false
	}
	r.failures++
	if failure.Reason == serverStopping && now.Sub(r.moved) > firstDelay {
		r.moved = now
		return 0, true
	}
	longest := min(float64(longestDelay), float64(firstDelay)*math.Pow(2, float64(r.failures-1)))
	delay := time.Duration(r.random() * longest)
	if failure.RetryAfter != nil {
		delay = max(delay, *failure.RetryAfter)
	}
	return delay, true
}

// passes tells whether a failure may pass by itself.
func passes(failure *Error) bool {
	switch failure.Code {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		// Canceled, not by us: what a server, or a proxy, that stops does to the streams it still has.
		return true
	case codes.ResourceExhausted:
		return failure.RetryAfter != nil
	case codes.Internal, codes.Unknown:
		// What gRPC makes of a stream that a proxy has reset. Taskgate's own have a reason.
		return failure.Reason == ""
	default:
		return false
	}
}
