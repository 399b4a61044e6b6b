package main

import (
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
	// mendingPause: while somebody has to mend something, trying oftener only makes load.
	mendingPause = time.Minute
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

// passes tells whether the same call may succeed soon. A reason that is not known here is taken by its code.
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

// needsMending tells whether somebody has to mend something first: a key, a token, a subscription, a setting.
func (r *refusal) needsMending() bool {
	switch r.code {
	case codes.Unauthenticated, codes.PermissionDenied, codes.NotFound, codes.FailedPrecondition:
		return true
	default:
		return false
	}
}

// pauses are those between attempts; they grow with each failure in a row.
type pauses struct {
	next time.Duration
}

// reset says that it worked again.
func (p *pauses) reset() {
	p.next = 0
}

// after is how long to wait until the next attempt: no less than the server asked for.
func (p *pauses) after(told *refusal) time.Duration {
	if p.next == 0 {
		p.next = firstPause
	}
	wait := p.next
	if p.next *= 2; p.next > longestPause {
		p.next = longestPause
	}
	if told.needsMending() {
		wait = mendingPause
	}
	if told.retryDelay != nil && *told.retryDelay > wait {
		wait = *told.retryDelay
	}
	// Some longer than others: what came to a stop together should not come back in one moment.
	return wait + time.Duration(rand.Int63n(int64(wait)/5+1))
}
