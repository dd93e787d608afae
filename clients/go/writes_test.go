package taskgate

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

type manualClock struct{ time time.Time }

func (c *manualClock) now() time.Time { return c.time }

func (c *manualClock) advance(pause time.Duration) { c.time = c.time.Add(pause) }

func newManualWrites() (*writes, *manualClock) {
	clock := &manualClock{time.Unix(1000, 0)}
	return newWrites(clock.now), clock
}

func expectSince(t *testing.T, w *writes, want string, parents ...string) {
	t.Helper()
	if since := w.since(parents); since != want {
		t.Errorf("the time since the latest write of %v is %q, not %q", parents, since, want)
	}
}

func TestReadSendsTimeSinceEndOfWrite(t *testing.T) {
	w, clock := newManualWrites()
	expectSince(t, w, "", testJob)
	w.record([]string{testJob})
	expectSince(t, w, "0.000", testJob)
	clock.advance(12*time.Second + 34900*time.Microsecond)
	expectSince(t, w, "12.034", testJob)
}

func TestWriteConcernsReadsOfItsParentAndOfAnythingElse(t *testing.T) {
	w, clock := newManualWrites()
	w.record([]string{testJob})
	clock.advance(time.Second)
	expectSince(t, w, "", testRun)
	expectSince(t, w, "1.000", testRun, testJob)
	expectSince(t, w, "1.000")
}

func TestWriteOfAnythingConcernsAllReads(t *testing.T) {
	w, clock := newManualWrites()
	w.record([]string{testJob})
	clock.advance(time.Second)
	w.record(nil)
	clock.advance(time.Second)
	for _, parents := range [][]string{{testJob}, {testRun}, nil} {
		expectSince(t, w, "1.000", parents...)
	}
}

func TestOldWriteIsNotSent(t *testing.T) {
	w, clock := newManualWrites()
	w.record([]string{testJob})
	clock.advance(maxSinceWrite)
	expectSince(t, w, "300.000", testJob)
	clock.advance(time.Millisecond)
	expectSince(t, w, "", testJob)
}

func TestForgottenWritesConcernAllReads(t *testing.T) {
	w, clock := newManualWrites()
	for number := range maxWrittenParents {
		w.record([]string{strconv.Itoa(number)})
	}
	expectSince(t, w, "", testJob)
	clock.advance(time.Second)
	w.record([]string{"one more"})
	clock.advance(time.Second)
	expectSince(t, w, "1.000", testJob)
	expectSince(t, w, "1.000", "7")
	if len(w.byParent) != 0 {
		t.Errorf("%d parents are stored", len(w.byParent))
	}
}

func TestRequestConcernsJobsAndRuns(t *testing.T) {
	task := testJob + "/steps/step-4/tasks/task-5"
	for _, each := range []struct {
		request any
		want    []string
	}{
		{&taskgatev1.GetTaskRequest{Name: task}, []string{testJob}},
		{&taskgatev1.BatchGetTasksRequest{Names: []string{task, testRun + "/tasks/1"}}, []string{testJob, testRun}},
		{&taskgatev1.ListTasksRequest{Parent: "deadline/farms/f/queues/q"}, nil},
		{&taskgatev1.BatchGetTasksRequest{Names: []string{task, "batch/queues/q/jobs/j"}}, nil},
		{&taskgatev1.GetServerInfoRequest{}, nil},
	} {
		if roots := rootsIn(each.request); !slices.Equal(roots, each.want) {
			t.Errorf("%v concerns %v, not %v", each.request, roots, each.want)
		}
	}
}

// fakeConnection records the metadata of unary calls.
type fakeConnection struct {
	grpc.ClientConnInterface
	sent []metadata.MD
	err  error
}

func (c *fakeConnection) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	sent, _ := metadata.FromOutgoingContext(ctx)
	c.sent = append(c.sent, sent)
	return c.err
}

func (c *fakeConnection) NewStream(
	ctx context.Context, _ *grpc.StreamDesc, path string, _ ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, c.Invoke(ctx, path, nil, nil)
}

func TestWriteCountsWhateverItsOutcomeIs(t *testing.T) {
	get := &taskgatev1.GetTaskRequest{Name: testRun + "/tasks/8"}
	for _, failure := range []error{nil, errors.New("timed out")} {
		fake, w := &fakeConnection{err: failure}, newWrites(time.Now)
		tasks := taskgatev1.NewTaskServiceClient(parentConnection{fake, w})
		_, _ = tasks.GetTask(t.Context(), get)
		_, _ = tasks.CancelTask(t.Context(), &taskgatev1.CancelTaskRequest{Name: get.GetName()})
		_, _ = tasks.GetTask(t.Context(), get)
		for index, want := range []int{0, 0, 1} {
			if sent := fake.sent[index].Get(sinceWriteKey); len(sent) != want {
				t.Errorf("call %d sent %v", index, sent)
			}
		}
	}
}

func TestRPCReadsOrWritesByItsName(t *testing.T) {
	for path, want := range map[string][2]bool{
		"/taskgate.v1.TaskService/SummarizeTasks":               {true, false},
		"/taskgate.deadline.v1.DeadlineService/BatchGetTask":    {true, false},
		"/taskgate.v1.TaskService/CancelTask":                   {false, true},
		"/taskgate.omics.v1.OmicsService/UploadReadSetPart":     {false, true},
		"/grpc.health.v1.Health/Check":                          {false, false},
		"/grpc.reflection.v1.ServerReflection/ServerReflection": {false, false},
	} {
		if found := [2]bool{isRead(path), isWrite(path)}; found != want {
			t.Errorf("%s reads and writes: %v", path, found)
		}
	}
}

func TestStreamOfOtherServiceMayWrite(t *testing.T) {
	fake, w := &fakeConnection{err: errors.New("timed out")}, newWrites(time.Now)
	connection := writeConnection{fake, w}
	for _, path := range []string{"/s.S/GetPart", "/s.S/UploadPart", "/s.S/GetPart"} {
		_, _ = connection.NewStream(t.Context(), &grpc.StreamDesc{}, path)
	}
	for index, want := range []int{0, 0, 1} {
		if sent := fake.sent[index].Get(sinceWriteKey); len(sent) != want {
			t.Errorf("call %d sent %v", index, sent)
		}
	}
}
