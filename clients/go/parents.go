package taskgate

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

// parentKey is the metadata key of the parent that a call is about, for proxies, which cannot read
// messages. A proxy that hashes it routes all calls about one job to one replica. The server does not
// read it.
//
// It is the parent that the server polls with everything it contains, such as a job or a run. Names of
// services that this version does not know belong to what directly contains the task.
const parentKey = "taskgate-parent"

// parentConnection adds the parent and the time since its latest write to the metadata of unary calls. A
// stream has no request yet when it is opened; its caller uses Client.withMetadata.
type parentConnection struct {
	grpc.ClientConnInterface
	writes *writes
}

// Invoke makes a unary call.
func (c parentConnection) Invoke(
	ctx context.Context, method string, request, response any, options ...grpc.CallOption,
) error {
	return c.writes.call(withParent(ctx, request), method, rootsIn(request), func(ctx context.Context) error {
		return c.ClientConnInterface.Invoke(ctx, method, request, response, options...)
	})
}

// withMetadata returns the context for a stream that reads.
func (c *Client) withMetadata(ctx context.Context, request any) context.Context {
	return c.writes.withSince(withParent(ctx, request), rootsIn(request))
}

// rootsIn returns the jobs and runs of all names in a request; nil if it may concern others, too.
func rootsIn(request any) []string {
	parents := parentsIn(request)
	for _, parent := range parents {
		parts := strings.Split(parent, "/")
		if _, ok := match(rootOf(parts[0]), parts); !ok {
			return nil
		}
	}
	return parents
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
	for index, parent := range parentsIn(request) {
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
	root := rootOf(parts[0])
	if len(root) > 0 && len(root) <= len(parts) {
		if _, ok := match(root, parts[:len(root)]); ok {
			return strings.Join(parts[:len(root)], "/")
		}
	}
	return name
}

// parentOfTask returns the job or run of a task, or what contains the task of an unknown service.
func parentOfTask(name string) string {
	parts := strings.Split(name, "/")
	if rootOf(parts[0]) != nil || len(parts) <= 3 {
		return parentOf(name)
	}
	return strings.Join(parts[:len(parts)-2], "/")
}

// rootOf returns the form of the parents of a service that are polled as a whole; nil if unknown.
func rootOf(service string) []string {
	for _, form := range rootForms {
		if strings.HasPrefix(form, service+"/") {
			return strings.Split(form, "/")
		}
	}
	return nil
}

// parentsIn returns the parent of each name in whichever of these fields the request has.
func parentsIn(request any) []string {
	var parents []string
	if named, ok := request.(interface{ GetName() string }); ok && named.GetName() != "" {
		parents = append(parents, parentOfTask(named.GetName()))
	}
	if child, ok := request.(interface{ GetParent() string }); ok && child.GetParent() != "" {
		parents = append(parents, parentOf(child.GetParent()))
	}
	if batch, ok := request.(interface{ GetNames() []string }); ok {
		for _, name := range batch.GetNames() {
			parents = append(parents, parentOfTask(name))
		}
	}
	if changes, ok := request.(interface {
		GetUpdates() []*taskgatev1.TaskUpdate
	}); ok {
		for _, update := range changes.GetUpdates() {
			parents = append(parents, parentOfTask(update.GetName()))
		}
	}
	return parents
}
