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

// Violation is what is wrong with one field of a request.
type Violation struct {
	Field       string
	Description string
}

// Resource is the thing that is missing or in conflict.
type Resource struct {
	Type string
	ID   string
}

// Error is a call that Taskgate answered with an error, or could not answer, with its details
// unpacked. It is context.Canceled and context.DeadlineExceeded for errors.Is where its code says so.
type Error struct {
	Code    codes.Code
	Message string
	// Reason is AWS's error code or Taskgate's own reason, such as RESOURCE_NOT_FOUND_EXCEPTION.
	Reason string
	// Domain says whose word the reason is: deadline.amazonaws.com, omics.amazonaws.com or taskgate.
	Domain   string
	Metadata map[string]string
	// Violations are all the fields of the request that are wrong.
	Violations []Violation
	// RetryAfter is how long to wait before trying again, where it is known.
	RetryAfter *time.Duration
	// Resource is nil where there is none to name.
	Resource *Resource
	// Quota is the id of the AWS quota that was exceeded.
	Quota string
	// RequestID is AWS's id of the request if there was one, else Taskgate's id of the call.
	RequestID string
}

// Error gives the code and the message.
func (e *Error) Error() string {
	return fmt.Sprintf("taskgate: %s: %s", e.Code, e.Message)
}

// Is tells the two errors of package context by the code.
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

// GRPCStatus lets status.FromError and status.Code read the error.
func (e *Error) GRPCStatus() *status.Status {
	return status.New(e.Code, e.Message)
}

// ErrorOf unpacks what a call of any gRPC stub has returned, such as one of Client.Deadline. It is
// nil for nil, and works for servers of other makes too.
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

func errorOfStatus(told *statuspb.Status) *Error {
	unpacked := &Error{Code: codes.Code(uint32(told.GetCode())), Message: told.GetMessage()}
	for _, packed := range told.GetDetails() {
		detail, err := packed.UnmarshalNew()
		if err != nil {
			continue // a kind of detail that is newer than this package
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

// told gives an error of gRPC as one of ours; nil stays nil, which a nil *Error in an error would not.
func told(err error) error {
	if err == nil {
		return nil
	}
	return ErrorOf(err)
}
