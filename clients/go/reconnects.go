package taskgate

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	firstDelay = time.Second
	maxDelay   = 10 * time.Second
	patience   = 5 * time.Minute

	serverStopping = "SERVER_STOPPING"
)

// timing has the clock, sleep and randomness of a client.
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

// reconnects decides after each failure whether to call again, and after what delay. It reads no clock
// and does no input or output. A server that has never responded is not retried, so that a wrong
// address fails immediately.
type reconnects struct {
	random             func() float64
	lastResponse       time.Time // zero before the first one
	leftStoppingServer time.Time
	failures           int
}

// reached records a response of the server.
func (r *reconnects) reached(now time.Time) {
	r.lastResponse = now
	r.failures = 0
}

// delayAfter returns the delay before the next attempt. It returns false if the error is final or the
// patience is exhausted.
//
// Delays have full jitter, so that the clients of a lost server do not all return at once. A server that
// announces its shutdown has other replicas to take over its clients, so the first such delay is zero.
func (r *reconnects) delayAfter(failure *Error, now time.Time) (time.Duration, bool) {
	if r.lastResponse.IsZero() || now.Sub(r.lastResponse) > patience || !isTransient(failure) {
		return 0, false
	}
	r.failures++
	if failure.Reason == serverStopping && now.Sub(r.leftStoppingServer) > firstDelay {
		r.leftStoppingServer = now
		return 0, true
	}
	limit := min(float64(maxDelay), float64(firstDelay)*math.Pow(2, float64(r.failures-1)))
	delay := time.Duration(r.random() * limit)
	if failure.RetryAfter != nil {
		delay = max(delay, *failure.RetryAfter)
	}
	return delay, true
}

// isTransient reports whether a failure is worth another call.
func isTransient(failure *Error) bool {
	switch failure.Code {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		// Canceled, not by this client: servers and proxies end their open streams so at shutdown.
		return true
	case codes.ResourceExhausted:
		return failure.RetryAfter != nil
	case codes.Internal, codes.Unknown:
		// gRPC's codes for a stream that a proxy has reset. Taskgate's own errors have a reason.
		return failure.Reason == ""
	default:
		return false
	}
}
