package taskgate

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func unavailable() *Error { return &Error{Code: codes.Unavailable} }

func TestServerThatNeverRespondedIsNotRetried(t *testing.T) {
	policy := reconnects{random: func() float64 { return 1 }}
	if _, ok := policy.delayAfter(unavailable(), start); ok {
		t.Error("there is a delay")
	}
}

func TestDelaysGrowToTenSecondsForFiveMinutes(t *testing.T) {
	policy := reconnects{random: func() float64 { return 1 }}
	policy.reached(start)
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		delay, ok := policy.delayAfter(unavailable(), start.Add(time.Minute))
		if !ok || delay != want*time.Second {
			t.Errorf("delay is %v, want %d s", delay, want)
		}
	}
	if _, ok := policy.delayAfter(unavailable(), start.Add(6*time.Minute)); ok {
		t.Error("there is a delay after five minutes")
	}
}

func TestFinalErrorsAreNotRetried(t *testing.T) {
	for _, failure := range []*Error{
		{Code: codes.NotFound},
		{Code: codes.ResourceExhausted},
		{Code: codes.Internal, Reason: "TASKGATE_BUG"},
	} {
		policy := reconnects{random: func() float64 { return 1 }}
		policy.reached(start)
		if _, ok := policy.delayAfter(failure, start); ok {
			t.Errorf("%v is retried", failure)
		}
	}
}

func TestServerThatShutsDownIsLeftImmediatelyOnce(t *testing.T) {
	policy := reconnects{random: func() float64 { return 1 }}
	policy.reached(start)
	stopping := &Error{Code: codes.Unavailable, Reason: serverStopping}
	first, _ := policy.delayAfter(stopping, start)
	second, _ := policy.delayAfter(stopping, start)
	if first != 0 || second == 0 {
		t.Errorf("%v, then %v", first, second)
	}
}

func TestTokenWithinSnapshotIsNotSent(t *testing.T) {
	session := &watchSession{request: &taskgatev1.WatchTasksRequest{Parent: "omics/runs/1"}}
	for _, response := range []*taskgatev1.WatchTasksResponse{
		{Event: &taskgatev1.WatchTasksResponse_SnapshotBegin{SnapshotBegin: &taskgatev1.SnapshotBegin{}}},
		{Event: &taskgatev1.WatchTasksResponse_SnapshotTasks{SnapshotTasks: &taskgatev1.SnapshotTasks{}}, ResumeToken: []byte("half")},
	} {
		if events, failure := session.take(response); len(events) != 0 || failure != nil {
			t.Errorf("%v, %v", events, failure)
		}
	}
	if token := session.next().GetResumeToken(); len(token) != 0 {
		t.Errorf("%q is sent", token)
	}
	end := &taskgatev1.WatchTasksResponse_SnapshotEnd{SnapshotEnd: &taskgatev1.SnapshotEnd{}}
	if events, _ := session.take(&taskgatev1.WatchTasksResponse{Event: end}); len(events) != 0 {
		t.Errorf("an incomplete snapshot is returned: %v", events)
	}
	if _, failure := session.take(&taskgatev1.WatchTasksResponse{ResumeToken: []byte("whole")}); failure != nil {
		t.Error(failure)
	}
	if token := session.next().GetResumeToken(); !bytes.Equal(token, []byte("whole")) {
		t.Errorf("%q is sent", token)
	}
}

func TestRepeatedLinesOfTheLastTimeAreSkipped(t *testing.T) {
	session := &logSession{request: &taskgatev1.StreamTaskLogsRequest{}, resumeAttempt: true}
	line := func(text string) *taskgatev1.LogLine {
		return &taskgatev1.LogLine{Time: timestamppb.New(start), Message: text}
	}
	lines := func(texts ...string) *taskgatev1.StreamTaskLogsResponse {
		batch := &taskgatev1.LogLines{}
		for _, each := range texts {
			batch.Lines = append(batch.Lines, line(each))
		}
		return &taskgatev1.StreamTaskLogsResponse{Part: &taskgatev1.StreamTaskLogsResponse_Lines{Lines: batch}}
	}
	session.next()
	first, _ := session.take(lines("one", "two"))
	session.next()
	second, _ := session.take(lines("one", "two", "three"))
	if len(first) != 2 || len(second) != 1 || second[0].GetMessage() != "three" {
		t.Errorf("%v, then %v", first, second)
	}
}

func TestErrorsMatchThoseOfPackageContext(t *testing.T) {
	if !errors.Is(&Error{Code: codes.Canceled}, context.Canceled) {
		t.Error("not Canceled")
	}
	if !errors.Is(converted(context.DeadlineExceeded), context.DeadlineExceeded) {
		t.Error("not DeadlineExceeded")
	}
	if converted(nil) != nil || ErrorOf(nil) != nil {
		t.Error("nil becomes an error")
	}
}

func TestListedMethodsAreRetried(t *testing.T) {
	const added = `{"service":"taskgate_batch.v1.BatchService","method":"ListJobs"}`
	config := configFor(false, []string{"/taskgate_batch.v1.BatchService/ListJobs"})
	if !strings.Contains(config, added) || !strings.Contains(config, `"method":"GetTask"`) {
		t.Error(config)
	}
	if config := configFor(true, nil); strings.Contains(config, "BatchService") ||
		!strings.Contains(config, "loadBalancingConfig") || !strings.Contains(config, "maxAttempts") {
		t.Error(config)
	}
}

func TestNamesAreParsedAndFormatted(t *testing.T) {
	for _, text := range []string{
		"deadline/farms/f/queues/q/jobs/j/steps/s/tasks/t", "omics/runs/7/tasks/8",
	} {
		name, err := ParseTaskName(text)
		if err != nil || name.String() != text {
			t.Errorf("%v, %v", name, err)
		}
	}
	for _, text := range []string{
		"deadline/farms/f/queues/q", "deadline/farms/f/queues/q/jobs/j",
		"deadline/farms/f/queues/q/jobs/j/steps/s", "omics/runs/7",
	} {
		name, err := ParseParentName(text)
		if err != nil || name.String() != text {
			t.Errorf("%v, %v", name, err)
		}
	}
	for _, text := range []string{"", "omics", "omics/runs/7", "omics/runs/7/tasks/", "omics/runs/7/tasks/8/9/0"} {
		if _, err := ParseTaskName(text); !errors.Is(err, ErrInvalidName) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := ValidateName(OmicsTaskName{Run: "7", Task: "8/9"}); !errors.Is(err, ErrInvalidName) {
		t.Error(err)
	}
}

func FuzzNames(f *testing.F) {
	f.Add("omics/runs/7/tasks/8")
	f.Add("deadline/farms/f/queues/q/jobs/j/steps/s/tasks/t")
	f.Fuzz(func(t *testing.T, text string) {
		if name, err := ParseTaskName(text); err == nil && (name.String() != text || ValidateName(name) != nil) {
			t.Errorf("%q became %q", text, name)
		}
	})
}
