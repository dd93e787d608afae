package taskgate

import (
	"context"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

// DefaultTimeout is the timeout of unary calls whose context has no deadline.
const DefaultTimeout = 30 * time.Second

// maxNames is the maximum number of names in a request.
const maxNames = 1000

// Client is a connection to Taskgate. It is safe for concurrent use. Close it after use.
type Client struct {
	Services

	connection *grpc.ClientConn
	tasks      taskgatev1.TaskServiceClient
	health     healthpb.HealthClient
	timing     timing
	writes     *writes
}

func newClient(connection *grpc.ClientConn, timing timing) *Client {
	bounded, writes := timeoutConnection{connection}, newWrites(timing.now)
	return &Client{
		Services:   newServices(writeConnection{bounded, writes}),
		connection: connection,
		tasks:      taskgatev1.NewTaskServiceClient(parentConnection{bounded, writes}),
		health:     healthpb.NewHealthClient(bounded),
		timing:     timing,
		writes:     writes,
	}
}

// Connection returns the connection for stubs of other services of the server, such as those of a
// plug-in. Their calls have the token, target and default timeout of the client.
func (c *Client) Connection() grpc.ClientConnInterface {
	return writeConnection{timeoutConnection{c.connection}, c.writes}
}

// Close closes the connection and ends its calls.
func (c *Client) Close() error { return c.connection.Close() }

// GetTask returns a task of either AWS service.
func (c *Client) GetTask(ctx context.Context, request *taskgatev1.GetTaskRequest) (*taskgatev1.Task, error) {
	response, err := invoke(ctx, request, c.tasks.GetTask)
	return response.GetTask(), err
}

// TaskResult is the result of [Client.BatchGetTasks] for one name: a task, or the error that
// [Client.GetTask] would return.
type TaskResult struct {
	Task *taskgatev1.Task
	Err  error
}

// BatchGetTasks returns any number of tasks of both AWS services, in the order of their names. It
// makes a call for every thousand names, and returns an error if a call fails as a whole.
func (c *Client) BatchGetTasks(
	ctx context.Context, request *taskgatev1.BatchGetTasksRequest,
) ([]TaskResult, error) {
	names := request.GetNames()
	results := make([]TaskResult, 0, len(names))
	for start := 0; start < len(names); start += maxNames {
		part := &taskgatev1.BatchGetTasksRequest{
			Names:  names[start:min(start+maxNames, len(names))],
			View:   request.GetView(),
			MaxAge: request.GetMaxAge(),
		}
		response, err := invoke(ctx, part, c.tasks.BatchGetTasks)
		if err != nil {
			return nil, err
		}
		for _, each := range response.GetResults() {
			if each.GetError() != nil {
				results = append(results, TaskResult{Err: errorOfStatus(each.GetError())})
			} else {
				results = append(results, TaskResult{Task: each.GetTask()})
			}
		}
	}
	return results, nil
}

// ListTasks lists the tasks of a queue, job, step or run. The listing fetches pages as needed.
func (c *Client) ListTasks(ctx context.Context, request *taskgatev1.ListTasksRequest) *TaskListing {
	return newTaskListing(ctx, request, c.tasks.ListTasks)
}

// SummarizeTasks counts the tasks of a job, step or run by state.
func (c *Client) SummarizeTasks(
	ctx context.Context, request *taskgatev1.SummarizeTasksRequest,
) (*taskgatev1.SummarizeTasksResponse, error) {
	return invoke(ctx, request, c.tasks.SummarizeTasks)
}

// CancelTask cancels a task of Deadline Cloud. With a request id the call is idempotent.
func (c *Client) CancelTask(
	ctx context.Context, request *taskgatev1.CancelTaskRequest,
) (*taskgatev1.Task, error) {
	response, err := invoke(ctx, request, c.tasks.CancelTask)
	return response.GetTask(), err
}

// RetryTask queues a task of Deadline Cloud again.
func (c *Client) RetryTask(
	ctx context.Context, request *taskgatev1.RetryTaskRequest,
) (*taskgatev1.Task, error) {
	response, err := invoke(ctx, request, c.tasks.RetryTask)
	return response.GetTask(), err
}

// SuspendTask suspends a task of Deadline Cloud.
func (c *Client) SuspendTask(
	ctx context.Context, request *taskgatev1.SuspendTaskRequest,
) (*taskgatev1.Task, error) {
	response, err := invoke(ctx, request, c.tasks.SuspendTask)
	return response.GetTask(), err
}

// BatchUpdateTasks cancels, retries and suspends up to 1,000 tasks. It returns, by the task's name,
// the error that the single method would return, or nil.
func (c *Client) BatchUpdateTasks(
	ctx context.Context, request *taskgatev1.BatchUpdateTasksRequest,
) (map[string]error, error) {
	response, err := invoke(ctx, request, c.tasks.BatchUpdateTasks)
	if err != nil {
		return nil, err
	}
	results := make(map[string]error, len(response.GetResults()))
	for _, each := range response.GetResults() {
		results[each.GetName()] = nil
		if each.GetError() != nil {
			results[each.GetName()] = errorOfStatus(each.GetError())
		}
	}
	return results, nil
}

// GetServerInfo returns the server's version, and which AWS services it can call now.
func (c *Client) GetServerInfo(ctx context.Context) (*taskgatev1.GetServerInfoResponse, error) {
	return invoke(ctx, &taskgatev1.GetServerInfoRequest{}, c.tasks.GetServerInfo)
}

// IsServing reports whether a gRPC service of the server is serving, given its full name, or the
// server as a whole, given the empty name.
func (c *Client) IsServing(ctx context.Context, service string) (bool, error) {
	response, err := invoke(ctx, &healthpb.HealthCheckRequest{Service: service}, c.health.Check)
	return response.GetStatus() == healthpb.HealthCheckResponse_SERVING, err
}

// invoke makes a unary call and converts its error.
func invoke[Request, Response any](
	ctx context.Context, request Request,
	call func(context.Context, Request, ...grpc.CallOption) (Response, error),
) (Response, error) {
	response, err := call(ctx, request)
	return response, converted(err)
}

// timeoutConnection adds DefaultTimeout to unary calls whose context has no deadline.
type timeoutConnection struct{ *grpc.ClientConn }

// Invoke makes a unary call.
func (c timeoutConnection) Invoke(
	ctx context.Context, method string, request, response any, options ...grpc.CallOption,
) error {
	if _, ok := ctx.Deadline(); !ok {
		bounded, cancel := context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
		ctx = bounded
	}
	return c.ClientConn.Invoke(ctx, method, request, response, options...)
}
