package taskgate

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

type askForPage = func(
	context.Context, *taskgatev1.ListTasksRequest, ...grpc.CallOption,
) (*taskgatev1.ListTasksResponse, error)

// TaskListing goes through tasks and asks for a page when it has none left. It is for one goroutine.
type TaskListing struct {
	ctx              context.Context
	ask              askForPage
	request          *taskgatev1.ListTasksRequest
	tasks            []*taskgatev1.Task
	done             bool
	totalSize        *int32
	incompleteReason *string
}

func newTaskListing(ctx context.Context, request *taskgatev1.ListTasksRequest, ask askForPage) *TaskListing {
	return &TaskListing{ctx: ctx, ask: ask, request: proto.CloneOf(request)}
}

// All gives the tasks for a range loop, and in the end the error if there was one.
func (l *TaskListing) All() iter.Seq2[*taskgatev1.Task, error] {
	return func(yield func(*taskgatev1.Task, error) bool) {
		for {
			task, err := l.Next()
			if errors.Is(err, io.EOF) || !yield(task, err) || err != nil {
				return
			}
		}
	}
}

// Next gives the next task, io.EOF after the last one, or an [*Error]: its page could not be had, and
// asking again asks for the same page.
func (l *TaskListing) Next() (*taskgatev1.Task, error) {
	for len(l.tasks) == 0 {
		if l.done {
			return nil, io.EOF
		}
		page, err := asked(l.ctx, l.request, l.ask)
		if err != nil {
			return nil, err
		}
		l.take(page)
	}
	task := l.tasks[0]
	l.tasks = l.tasks[1:]
	return task, nil
}

// TotalSize is how many tasks the parent has, whatever the filter; false where AWS does not tell, and
// before the first page.
func (l *TaskListing) TotalSize() (int, bool) {
	if l.totalSize == nil {
		return 0, false
	}
	return int(*l.totalSize), true
}

// IncompleteReason is why there are tasks that are not listed; empty if all are, known at the end.
func (l *TaskListing) IncompleteReason() string {
	if l.incompleteReason == nil {
		return ""
	}
	return *l.incompleteReason
}

func (l *TaskListing) take(page *taskgatev1.ListTasksResponse) {
	l.tasks = page.GetTasks()
	if page.TotalSize != nil {
		l.totalSize = page.TotalSize
	}
	if page.IncompleteReason != nil {
		l.incompleteReason = page.IncompleteReason
	}
	l.request.PageToken = page.GetNextPageToken()
	l.done = page.GetNextPageToken() == ""
}
