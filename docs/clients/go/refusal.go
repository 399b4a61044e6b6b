package main

import (
	"context"
	"fmt"
	"math/rand"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// refusal is a failed call, by what a program may decide on; the text of an error is for people, and may change.
type refusal struct {
	code codes.Code
	// reason is one of the contract, as errors.proto names it. "-": none, so the error is of gRPC itself.
	reason string
	// metadata has the changing parts of the message, under the keys that errors.proto names.
	metadata map[string]string
	// retryDelay is how long to wait before trying again. Nil: the server did not say.
	retryDelay *time.Duration
	message    string
}

// read reads a failed call with its details.
func read(err error) *refusal {
	failed := status.Convert(err)
	told := &refusal{code: failed.Code(), reason: "-", message: failed.Message()}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.Domain == "hotspare" {
				told.reason, told.metadata = detail.Reason, detail.Metadata
			}
		case *errdetails.RetryInfo:
			delay := detail.RetryDelay.AsDuration()
			told.retryDelay = &delay
		}
	}
	return told
}

// Error makes a refusal an error that ends the program.
func (r *refusal) Error() string {
	return fmt.Sprintf("%s %s: %s", r.codeName(), r.reason, r.message)
}

// codeName is the canonical name of the code: Go has names of its own for them.
func (r *refusal) codeName() string {
	return code.Code(r.code).String()
}

// passes tells whether the same call may succeed later. A reason that is not known here is taken by its code.
func (r *refusal) passes() bool {
	switch r.code {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.ResourceExhausted:
		// A full disk passes, and its RetryInfo says so; a message that is too long stays so.
		return r.retryDelay != nil
	default:
		return false
	}
}

// untilAnswered makes a call again and again until it is answered, or refused for good. Only for calls that may be made
// twice: their comment in the protos says "Idempotent".
func untilAnswered(ctx context.Context, alarmID string, call func(context.Context) error) error {
	next := firstPause
	for {
		attempt, cancel := context.WithTimeout(ctx, publishDeadline)
		err := call(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		told := read(err)
		if !told.passes() {
			say("refused alarm_id=%s code=%s reason=%s", alarmID, told.codeName(), told.reason)
			return told
		}
		wait := next
		if told.retryDelay != nil {
			wait = *told.retryDelay
		}
		// Some longer than others: what came to a stop together should not come back in one moment.
		wait += time.Duration(rand.Int63n(int64(wait)/5 + 1))
		say("waiting alarm_id=%s code=%s reason=%s seconds=%.2f", alarmID, told.codeName(), told.reason, wait.Seconds())
		if err := pause(ctx, wait); err != nil {
			return err
		}
		if next *= 2; next > longestPause {
			next = longestPause
		}
	}
}
