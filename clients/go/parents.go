package taskgate

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

// parentKey tells proxies, which cannot read messages, which job or run a call is about. One that
// hashes it sends all calls about one job to one replica. The server does not read it.
const parentKey = "taskgate-parent"

// parentTelling is a connection whose unary calls tell their parent. A stream has no request yet when
// it is opened: who opens one does so in a context of tellingParent.
type parentTelling struct{ grpc.ClientConnInterface }

// Invoke makes a unary call.
func (c parentTelling) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	return c.ClientConnInterface.Invoke(tellingParent(ctx, request), method, request, answer, options...)
}

// tellingParent gives a context for a call with a request.
func tellingParent(ctx context.Context, request any) context.Context {
	parent := sharedParent(request)
	if parent == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, parentKey, parent)
}

// sharedParent gives the one parent of all that a request names; empty where there are several, or
// none.
func sharedParent(request any) string {
	shared := ""
	for index, name := range namesIn(request) {
		parent := parentOf(name)
		if index > 0 && parent != shared {
			return ""
		}
		shared = parent
	}
	// Metadata takes nothing else, and such a name is none: the server says so.
	if strings.ContainsFunc(shared, func(each rune) bool { return each < ' ' || each > '~' }) {
		return ""
	}
	return shared
}

// parentOf gives the job or run in a name of it, of a step or of a task; any other name as it is.
func parentOf(name string) string {
	parts := strings.Split(name, "/")
	for index := 1; index < len(parts); index += 2 {
		if parts[index] == "jobs" || parts[index] == "runs" {
			return strings.Join(parts[:min(index+2, len(parts))], "/")
		}
	}
	return name
}

// namesIn gives the names in whichever of the fields the request has.
func namesIn(request any) []string {
	var names []string
	if named, has := request.(interface{ GetName() string }); has && named.GetName() != "" {
		names = append(names, named.GetName())
	}
	if child, has := request.(interface{ GetParent() string }); has && child.GetParent() != "" {
		names = append(names, child.GetParent())
	}
	if batch, has := request.(interface{ GetNames() []string }); has {
		names = append(names, batch.GetNames()...)
	}
	if changes, has := request.(interface {
		GetUpdates() []*taskgatev1.TaskUpdate
	}); has {
		for _, update := range changes.GetUpdates() {
			names = append(names, update.GetName())
		}
	}
	return names
}
