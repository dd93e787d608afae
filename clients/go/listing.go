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

type fetchPage = func(
	context.Context, *taskgatev1.ListTasksRequest, ...grpc.CallOption,
) (*taskgatev1.ListTasksResponse, error)

// TaskListing is an iterator over tasks, which fetches pages as needed. It is not safe for concurrent
// use.
type TaskListing struct {
	ctx              context.Context
	fetch            fetchPage
	request          *taskgatev1.ListTasksRequest
	tasks            []*taskgatev1.Task
	done             bool
	totalSize        *int32
	incompleteReason *string
}

func newTaskListing(ctx context.Context, request *taskgatev1.ListTasksRequest, fetch fetchPage) *TaskListing {
	return &TaskListing{ctx: ctx, fetch: fetch, request: proto.CloneOf(request)}
}

// All returns an iterator over the tasks. If it fails, its last pair has the error.
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

// Next returns the next task, io.EOF after the last one, or an [*Error] if its page could not be
// fetched. After an error, Next requests the same page again.
func (l *TaskListing) Next() (*taskgatev1.Task, error) {
	for len(l.tasks) == 0 {
		if l.done {
			return nil, io.EOF
		}
		page, err := invoke(l.ctx, l.request, l.fetch)
		if err != nil {
			return nil, err
		}
		l.add(page)
	}
	task := l.tasks[0]
	l.tasks = l.tasks[1:]
	return task, nil
}

// TotalSize returns the number of tasks of the parent, regardless of the filter. It returns false
// before the first page, and if AWS does not return the number.
func (l *TaskListing) TotalSize() (int, bool) {
	if l.totalSize == nil {
		return 0, false
	}
	return int(*l.totalSize), true
}

// IncompleteReason returns why the listing omits tasks, known at its end; empty if it is complete.
func (l *TaskListing) IncompleteReason() string {
	if l.incompleteReason == nil {
		return ""
	}
	return *l.incompleteReason
}

func (l *TaskListing) add(page *taskgatev1.ListTasksResponse) {
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
