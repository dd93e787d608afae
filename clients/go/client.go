package taskgate

import (
	"context"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	deadlinev1 "github.com/taskgate/taskgate/clients/go/gen/deadline/v1"
	omicsv1 "github.com/taskgate/taskgate/clients/go/gen/omics/v1"
	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

// DefaultTimeLimit ends unary calls whose context has no deadline.
const DefaultTimeLimit = 30 * time.Second

// maxNames is how many tasks one request may name.
const maxNames = 1000

// Client is a connection to Taskgate. Many goroutines may use it; close it in the end.
type Client struct {
	// Deadline has every operation of AWS Deadline Cloud. [ErrorOf] unpacks its errors.
	Deadline deadlinev1.DeadlineServiceClient
	// Omics has every operation of AWS HealthOmics. [ErrorOf] unpacks its errors.
	Omics omicsv1.OmicsServiceClient

	connection *grpc.ClientConn
	tasks      taskgatev1.TaskServiceClient
	health     healthpb.HealthClient
	timing     timing
}

func newClient(connection *grpc.ClientConn, timing timing) *Client {
	limited := limitedConnection{connection}
	return &Client{
		Deadline:   deadlinev1.NewDeadlineServiceClient(limited),
		Omics:      omicsv1.NewOmicsServiceClient(limited),
		connection: connection,
		tasks:      taskgatev1.NewTaskServiceClient(parentTelling{limited}),
		health:     healthpb.NewHealthClient(limited),
		timing:     timing,
	}
}

// Close ends the connection and the calls in flight on it.
func (c *Client) Close() error { return c.connection.Close() }

// GetTask reads one task of either AWS service.
func (c *Client) GetTask(ctx context.Context, request *taskgatev1.GetTaskRequest) (*taskgatev1.Task, error) {
	answer, err := asked(ctx, request, c.tasks.GetTask)
	return answer.GetTask(), err
}

// TaskResult is what became of one name of [Client.BatchGetTasks]: a task, or the error that
// GetTask would have given.
type TaskResult struct {
	Task *taskgatev1.Task
	Err  error
}

// BatchGetTasks reads any number of tasks of both AWS services. The results are in the order of the
// names; there are none where none of the tasks could be had.
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
		answer, err := asked(ctx, part, c.tasks.BatchGetTasks)
		if err != nil {
			return nil, err
		}
		for _, each := range answer.GetResults() {
			if each.GetError() != nil {
				results = append(results, TaskResult{Err: errorOfStatus(each.GetError())})
			} else {
				results = append(results, TaskResult{Task: each.GetTask()})
			}
		}
	}
	return results, nil
}

// ListTasks lists the tasks of a queue, a job, a step or a run, and asks for page after page by
// itself.
func (c *Client) ListTasks(ctx context.Context, request *taskgatev1.ListTasksRequest) *TaskListing {
	return newTaskListing(ctx, request, c.tasks.ListTasks)
}

// SummarizeTasks counts the tasks of a job, a step or a run by state.
func (c *Client) SummarizeTasks(
	ctx context.Context, request *taskgatev1.SummarizeTasksRequest,
) (*taskgatev1.SummarizeTasksResponse, error) {
	return asked(ctx, request, c.tasks.SummarizeTasks)
}

// CancelTask ends a task of Deadline Cloud. With a request id it is safe to call again.
func (c *Client) CancelTask(
	ctx context.Context, request *taskgatev1.CancelTaskRequest,
) (*taskgatev1.Task, error) {
	answer, err := asked(ctx, request, c.tasks.CancelTask)
	return answer.GetTask(), err
}

// RetryTask queues a task of Deadline Cloud again.
func (c *Client) RetryTask(
	ctx context.Context, request *taskgatev1.RetryTaskRequest,
) (*taskgatev1.Task, error) {
	answer, err := asked(ctx, request, c.tasks.RetryTask)
	return answer.GetTask(), err
}

// SuspendTask holds a task of Deadline Cloud.
func (c *Client) SuspendTask(
	ctx context.Context, request *taskgatev1.SuspendTaskRequest,
) (*taskgatev1.Task, error) {
	answer, err := asked(ctx, request, c.tasks.SuspendTask)
	return answer.GetTask(), err
}

// BatchUpdateTasks cancels, retries and suspends up to 1,000 tasks. It gives, by the task's name, the
// error that the single method would have given, or nil.
func (c *Client) BatchUpdateTasks(
	ctx context.Context, request *taskgatev1.BatchUpdateTasksRequest,
) (map[string]error, error) {
	answer, err := asked(ctx, request, c.tasks.BatchUpdateTasks)
	if err != nil {
		return nil, err
	}
	results := make(map[string]error, len(answer.GetResults()))
	for _, each := range answer.GetResults() {
		results[each.GetName()] = nil
		if each.GetError() != nil {
			results[each.GetName()] = errorOfStatus(each.GetError())
		}
	}
	return results, nil
}

// GetServerInfo tells what the server is and which AWS services it can serve now.
func (c *Client) GetServerInfo(ctx context.Context) (*taskgatev1.GetServerInfoResponse, error) {
	return asked(ctx, &taskgatev1.GetServerInfoRequest{}, c.tasks.GetServerInfo)
}

// IsServing tells whether a gRPC service of the server can be used now, by its full name, or the
// server as a whole, by the empty name.
func (c *Client) IsServing(ctx context.Context, service string) (bool, error) {
	answer, err := asked(ctx, &healthpb.HealthCheckRequest{Service: service}, c.health.Check)
	return answer.GetStatus() == healthpb.HealthCheckResponse_SERVING, err
}

// asked makes a unary call, and tells its error.
func asked[Request, Answer any](
	ctx context.Context, request Request,
	call func(context.Context, Request, ...grpc.CallOption) (Answer, error),
) (Answer, error) {
	answer, err := call(ctx, request)
	return answer, told(err)
}

// limitedConnection ends unary calls after DefaultTimeLimit if their context has no deadline.
type limitedConnection struct{ *grpc.ClientConn }

// Invoke makes a unary call.
func (c limitedConnection) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	if _, has := ctx.Deadline(); !has {
		bounded, cancel := context.WithTimeout(ctx, DefaultTimeLimit)
		defer cancel()
		ctx = bounded
	}
	return c.ClientConn.Invoke(ctx, method, request, answer, options...)
}
