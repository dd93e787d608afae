package taskgate

import (
	"context"
	"testing"

	"google.golang.org/grpc/metadata"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

const (
	testJob = "deadline/farms/farm-1/queues/queue-2/jobs/job-3"
	testRun = "omics/runs/1234567"
)

func TestParentOfNameIsItsJobOrRun(t *testing.T) {
	for name, want := range map[string]string{
		testJob + "/steps/step-4/tasks/task-5": testJob,
		testJob + "/steps/step-4":              testJob,
		testJob:                                testJob,
		"deadline/farms/farm-1/queues/queue-2": "deadline/farms/farm-1/queues/queue-2",
		testRun + "/tasks/8":                   testRun,
		testRun:                                testRun,
		"deadline/farms/jobs/queues/runs/jobs/job-3/steps/s": "deadline/farms/jobs/queues/runs/jobs/job-3",
		"omics/runs": "omics/runs",
		"no name":    "no name",
	} {
		if parent := parentOf(name); parent != want {
			t.Errorf("parentOf(%q) is %q", name, parent)
		}
	}
}

func TestParentOfTaskOfUnknownServiceIsItsContainer(t *testing.T) {
	for name, want := range map[string]string{
		testRun + "/tasks/8":                testRun,
		"batch/queues/q/jobs/j":             "batch/queues/q",
		"batch/queues/q/jobs/j/childJobs/3": "batch/queues/q/jobs/j",
		"batch/queues/q":                    "batch/queues/q",
		"no name":                           "no name",
	} {
		if parent := parentOfTask(name); parent != want {
			t.Errorf("parentOfTask(%q) is %q", name, parent)
		}
	}
	watch := &taskgatev1.WatchTasksRequest{Parent: "batch/queues/q/jobs/j"}
	if parent := sharedParent(watch); parent != watch.GetParent() {
		t.Errorf("sharedParent is %q", parent)
	}
}

func TestSharedParentOfRequest(t *testing.T) {
	names := []string{testRun + "/tasks/0", testRun + "/tasks/1", testRun + "/tasks/2"}
	var updates []*taskgatev1.TaskUpdate
	for _, name := range names {
		updates = append(updates, &taskgatev1.TaskUpdate{Name: name})
	}
	task := func(name string) any { return &taskgatev1.GetTaskRequest{Name: name} }
	for want, requests := range map[string][]any{
		testRun: {
			task(names[0]),
			&taskgatev1.BatchGetTasksRequest{Names: names},
			&taskgatev1.WatchTasksRequest{Parent: testRun, Names: names},
			&taskgatev1.BatchUpdateTasksRequest{Updates: updates},
		},
		testJob: {
			&taskgatev1.ListTasksRequest{Parent: testJob + "/steps/s"},
		},
		"": {
			&taskgatev1.WatchTasksRequest{Names: append(names, testJob+"/steps/s/tasks/t")},
			&taskgatev1.WatchTasksRequest{Parent: testJob, Names: names},
			&taskgatev1.BatchGetTasksRequest{Names: []string{"", names[0]}},
			task("omics/runs/größe/tasks/1"),
			task("omics/runs/1\n/tasks/1"),
			task("omics/runs/1\x7f/tasks/1"),
			task("omics/runs/\xff/tasks/1"),
			task(""),
			&taskgatev1.GetServerInfoRequest{},
		},
	} {
		for _, request := range requests {
			if parent := sharedParent(request); parent != want {
				t.Errorf("sharedParent(%v) is %q, want %q", request, parent, want)
			}
		}
	}
}

func TestParentIsSentBesideOtherMetadata(t *testing.T) {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "trace", "1")
	sent, _ := metadata.FromOutgoingContext(
		withParent(ctx, &taskgatev1.GetTaskRequest{Name: testRun + "/tasks/8"}),
	)
	if len(sent) != 2 || sent.Get("trace")[0] != "1" || sent.Get(parentKey)[0] != testRun {
		t.Errorf("metadata is %v", sent)
	}
	if withParent(ctx, &taskgatev1.GetServerInfoRequest{}) != ctx {
		t.Error("a request without names has a parent")
	}
}
