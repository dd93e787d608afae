package taskgate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Violation is an invalid field of a request.
type Violation struct {
	Field       string
	Description string
}

// Resource is a resource that is missing or in conflict.
type Resource struct {
	Type string
	ID   string
}

// Error is the error of a call that failed, on the server or on the way to it. For errors.Is it is
// context.Canceled or context.DeadlineExceeded if it has that code.
type Error struct {
	Code    codes.Code
	Message string
	// Reason is AWS's error code or Taskgate's reason, such as RESOURCE_NOT_FOUND_EXCEPTION.
	Reason string
	// Domain is the origin of the reason: deadline.amazonaws.com, omics.amazonaws.com or taskgate.
	Domain   string
	Metadata map[string]string
	// Violations are all invalid fields of the request.
	Violations []Violation
	// RetryAfter is how long to wait before a retry; nil if unknown.
	RetryAfter *time.Duration
	// Resource is the resource that is missing or in conflict; nil if there is none.
	Resource *Resource
	// Quota is the id of the exceeded AWS quota.
	Quota string
	// RequestID is AWS's request id if AWS was called, otherwise Taskgate's id of the call.
	RequestID string
}

// Error returns the code and the message.
func (e *Error) Error() string {
	return fmt.Sprintf("taskgate: %s: %s", e.Code, e.Message)
}

// Is reports whether target is the error of package context that corresponds to the code.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == codes.Canceled
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	default:
		return false
	}
}

// GRPCStatus makes status.FromError and status.Code work with the error.
func (e *Error) GRPCStatus() *status.Status {
	return status.New(e.Code, e.Message)
}

// ErrorOf converts the error of any gRPC stub, such as Client.Deadline, also of other servers than
// Taskgate. It returns nil for nil.
func ErrorOf(err error) *Error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errorOfStatus(status.FromContextError(err).Proto())
	}
	return errorOfStatus(status.Convert(err).Proto())
}

func errorOfStatus(failed *statuspb.Status) *Error {
	unpacked := &Error{Code: codes.Code(uint32(failed.GetCode())), Message: failed.GetMessage()}
	for _, packed := range failed.GetDetails() {
		detail, err := packed.UnmarshalNew()
		if err != nil {
			continue // malformed, or a type that is newer than this package
		}
		unpacked.add(detail)
	}
	return unpacked
}

func (e *Error) add(detail any) {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		e.Reason, e.Domain, e.Metadata = detail.GetReason(), detail.GetDomain(), detail.GetMetadata()
	case *errdetails.RequestInfo:
		e.RequestID = detail.GetRequestId()
	case *errdetails.BadRequest:
		for _, each := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, Violation{each.GetField(), each.GetDescription()})
		}
	case *errdetails.RetryInfo:
		wait := detail.GetRetryDelay().AsDuration()
		e.RetryAfter = &wait
	case *errdetails.ResourceInfo:
		e.Resource = &Resource{detail.GetResourceType(), detail.GetResourceName()}
	case *errdetails.QuotaFailure:
		for _, each := range detail.GetViolations() {
			if e.Quota == "" {
				e.Quota = each.GetQuotaId()
			}
		}
	}
}

// converted returns an error of gRPC as an *Error. It returns nil for nil, unlike a nil *Error in an
// error.
func converted(err error) error {
	if err == nil {
		return nil
	}
	return ErrorOf(err)
}
