package taskgate

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

// parentKey is the metadata key of the job or run that a call is about, for proxies, which cannot read
// messages. A proxy that hashes it routes all calls about one job to one replica. The server does not
// read it.
const parentKey = "taskgate-parent"

// parentConnection adds the parent to the metadata of unary calls. A stream has no request yet when it
// is opened; its caller uses withParent.
type parentConnection struct{ grpc.ClientConnInterface }

// Invoke makes a unary call.
func (c parentConnection) Invoke(
	ctx context.Context, method string, request, response any, options ...grpc.CallOption,
) error {
	return c.ClientConnInterface.Invoke(withParent(ctx, request), method, request, response, options...)
}

// withParent returns the context for a call, with the parent of its request.
func withParent(ctx context.Context, request any) context.Context {
	parent := sharedParent(request)
	if parent == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, parentKey, parent)
}

// sharedParent returns the parent that all names in a request share; empty if there is none.
func sharedParent(request any) string {
	shared := ""
	for index, name := range namesIn(request) {
		parent := parentOf(name)
		if index > 0 && parent != shared {
			return ""
		}
		shared = parent
	}
	// Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
	if strings.ContainsFunc(shared, func(each rune) bool { return each < ' ' || each > '~' }) {
		return ""
	}
	return shared
}

// parentOf returns the job or run in the name of a job, run, step or task; any other name unchanged.
func parentOf(name string) string {
	parts := strings.Split(name, "/")
	for index := 1; index < len(parts); index += 2 {
		if parts[index] == "jobs" || parts[index] == "runs" {
			return strings.Join(parts[:min(index+2, len(parts))], "/")
		}
	}
	return name
}

// namesIn returns the names in whichever of these fields the request has.
func namesIn(request any) []string {
	var names []string
	if named, ok := request.(interface{ GetName() string }); ok && named.GetName() != "" {
		names = append(names, named.GetName())
	}
	if child, ok := request.(interface{ GetParent() string }); ok && child.GetParent() != "" {
		names = append(names, child.GetParent())
	}
	if batch, ok := request.(interface{ GetNames() []string }); ok {
		names = append(names, batch.GetNames()...)
	}
	if changes, ok := request.(interface {
		GetUpdates() []*taskgatev1.TaskUpdate
	}); ok {
		for _, update := range changes.GetUpdates() {
			names = append(names, update.GetName())
		}
	}
	return names
}
