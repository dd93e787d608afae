// Command conformance is the conformance runner of the Go client. clients/conformance/README.md
// describes its protocol.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	taskgate "github.com/taskgate/taskgate/clients/go"
	deadlinev1 "github.com/taskgate/taskgate/clients/go/gen/deadline/v1"
	omicsv1 "github.com/taskgate/taskgate/clients/go/gen/omics/v1"
	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

type object = map[string]any

type command struct {
	Do string `json:"do"`

	Address       string     `json:"address"`
	TLS           *tlsChoice `json:"tls"`
	Token         string     `json:"token"`
	TokenFile     string     `json:"token_file"`
	TokenSequence []string   `json:"token_sequence"`
	Target        string     `json:"target"`
	Balance       bool       `json:"balance"`

	Name              string            `json:"name"`
	Names             []string          `json:"names"`
	Parent            string            `json:"parent"`
	Filter            string            `json:"filter"`
	PageSize          int32             `json:"page_size"`
	Limit             int32             `json:"limit"`
	Tail              int32             `json:"tail"`
	Attempt           *int32            `json:"attempt"`
	Follow            bool              `json:"follow"`
	MaxAge            *float64          `json:"max_age"`
	View              string            `json:"view"`
	Timeout           *float64          `json:"timeout"`
	CancelAfter       *float64          `json:"cancel_after"`
	States            []string          `json:"states"`
	RequestID         string            `json:"request_id"`
	Reason            string            `json:"reason"`
	Updates           map[string]string `json:"updates"`
	UntilSettled      bool              `json:"until_settled"`
	HeartbeatInterval *float64          `json:"heartbeat_interval"`
	Skip              []string          `json:"skip"`
	Service           string            `json:"service"`
	FarmID            string            `json:"farm_id"`
	Chunks            int               `json:"chunks"`
	Kind              string            `json:"kind"`
	IDs               []string          `json:"ids"`
}

type tlsChoice struct {
	CA          string `json:"ca"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	ServerName  string `json:"server_name"`
}

// errInvalid is the error of arguments that the client rejects.
type errInvalid struct{ error }

type runner struct {
	client *taskgate.Client
	watch  *taskgate.Watch
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	var run runner
	for lines.Scan() {
		var next command
		if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
			log.Fatal(err)
		}
		outcome, err := json.Marshal(run.run(next))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(outcome))
	}
}

func (r *runner) run(command command) object {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if command.CancelAfter != nil {
		time.AfterFunc(seconds(*command.CancelAfter), cancel)
	}
	if command.Timeout != nil && command.Do != "watch" {
		bounded, stop := context.WithTimeout(ctx, seconds(*command.Timeout))
		defer stop()
		ctx = bounded
	}
	value, err := r.do(ctx, command)
	var invalid errInvalid
	switch {
	case err == nil:
		return object{"ok": value}
	case errors.As(err, &invalid):
		return object{"invalid": err.Error()}
	case command.CancelAfter != nil && errors.Is(err, context.Canceled):
		return object{"cancelled": true}
	default:
		return object{"error": errorOf(err)}
	}
}

func (r *runner) do(ctx context.Context, command command) (any, error) {
	switch command.Do {
	case "connect":
		return object{}, r.connect(command)
	case "parse_name":
		return parsed(command.Name)
	case "build_name":
		return built(command.Kind, command.IDs)
	case "watch", "next", "close_watch":
		return r.watching(command)
	case "cancel_task", "retry_task", "suspend_task", "batch_update_tasks":
		return r.update(ctx, command)
	default:
		return r.read(ctx, command)
	}
}

func (r *runner) connect(command command) error {
	if r.client != nil {
		if r.watch != nil {
			r.watch.Close()
		}
		if err := r.client.Close(); err != nil {
			return err
		}
		r.client = nil
	}
	var options []taskgate.Option
	if command.TLS != nil {
		options = append(options, taskgate.WithTLS(taskgate.TLS(*command.TLS)))
	}
	switch {
	case command.Token != "":
		options = append(options, taskgate.WithToken(taskgate.StaticToken(command.Token)))
	case command.TokenFile != "":
		options = append(options, taskgate.WithToken(taskgate.TokenFile(command.TokenFile)))
	case command.TokenSequence != nil:
		tokens := command.TokenSequence
		options = append(options, taskgate.WithToken(func(context.Context) (string, error) {
			token := tokens[0]
			if len(tokens) > 1 {
				tokens = tokens[1:]
			}
			return token, nil
		}))
	}
	if command.Target != "" {
		options = append(options, taskgate.WithTarget(command.Target))
	}
	if command.Balance {
		options = append(options, taskgate.WithBalancing())
	}
	client, err := taskgate.Connect(command.Address, options...)
	if err != nil {
		return errInvalid{err}
	}
	r.client = client
	return nil
}

func (r *runner) read(ctx context.Context, command command) (any, error) {
	switch command.Do {
	case "get_task":
		task, err := r.client.GetTask(ctx, &taskgatev1.GetTaskRequest{
			Name: command.Name, MaxAge: duration(command.MaxAge),
			View: taskgatev1.TaskView(taskgatev1.TaskView_value["TASK_VIEW_"+command.View]),
		})
		return taskOf(task), err
	case "batch_get_tasks":
		results, err := r.client.BatchGetTasks(ctx, &taskgatev1.BatchGetTasksRequest{Names: command.Names})
		result := make([]object, 0, len(results))
		for _, each := range results {
			if each.Err != nil {
				result = append(result, object{"error": errorOf(each.Err)})
			} else {
				result = append(result, taskOf(each.Task))
			}
		}
		return result, err
	case "list_tasks":
		return r.list(ctx, command)
	case "summarize_tasks":
		response, err := r.client.SummarizeTasks(ctx, &taskgatev1.SummarizeTasksRequest{Parent: command.Parent})
		states := object{}
		for _, each := range response.GetCounts().GetStates() {
			states[stateOf(each.GetState())] = each.GetCount()
		}
		return object{
			"total": response.GetCounts().GetTotal(), "states": states,
			"settled": response.GetCounts().GetSettled(), "parent": parentOf(response.GetParentStatus()),
		}, err
	case "wait_task":
		response, err := r.client.WaitTask(ctx, &taskgatev1.WaitTaskRequest{Name: command.Name, States: statesOf(command.States)})
		return object{
			"task": taskOf(response.GetTask()), "done": response.GetDone(),
			"parent": parentOf(response.GetParentStatus()),
		}, err
	case "read_log":
		lines := []string{}
		request := &taskgatev1.StreamTaskLogsRequest{
			Name: command.Name, Follow: command.Follow, Limit: command.Limit, Tail: command.Tail, Attempt: command.Attempt,
			HeartbeatInterval: duration(command.HeartbeatInterval),
		}
		for line, err := range r.client.StreamTaskLogs(ctx, request).All() {
			if err != nil {
				return nil, err
			}
			lines = append(lines, line.GetMessage())
		}
		return lines, nil
	case "get_server_info":
		info, err := r.client.GetServerInfo(ctx)
		services := []string{}
		for _, each := range info.GetAwsServices() {
			services = append(services, each.GetName())
		}
		return object{"version": info.GetVersion(), "services": services}, err
	case "is_serving":
		return r.client.IsServing(ctx, command.Service)
	case "get_farm":
		farm, err := r.client.Deadline.GetFarm(ctx, &deadlinev1.GetFarmRequest{FarmId: &command.FarmID})
		return object{"display_name": farm.GetDisplayName()}, err
	case "get_natively":
		request := &deadlinev1.GetTaskRequest{}
		request.FarmId, request.QueueId, request.JobId, request.StepId, request.TaskId = nativeIDs(command.Name)
		task, err := r.client.Deadline.GetTask(ctx, request)
		return object{"run_status": strings.TrimPrefix(task.GetRunStatus().String(), "TASK_RUN_STATUS_")}, err
	case "suspend_natively":
		request := &deadlinev1.UpdateTaskRequest{}
		request.FarmId, request.QueueId, request.JobId, request.StepId, request.TaskId = nativeIDs(command.Name)
		request.TargetRunStatus = deadlinev1.TaskTargetRunStatus_TASK_TARGET_RUN_STATUS_SUSPENDED.Enum()
		_, err := r.client.Deadline.UpdateTask(ctx, request)
		return object{}, err
	case "upload":
		response, err := r.upload(ctx, command.Chunks)
		return object{"checksum": response.GetChecksum()}, err
	default:
		return nil, fmt.Errorf("unknown command %q", command.Do)
	}
}

func (r *runner) upload(ctx context.Context, chunks int) (*omicsv1.UploadReadSetPartResponse, error) {
	call, err := r.client.Omics.UploadReadSetPart(ctx)
	if err != nil {
		return nil, err
	}
	id, number := "1234567890", int32(1)
	chunk := &omicsv1.UploadReadSetPartRequest{
		SequenceStoreId: &id, UploadId: &id, PartNumber: &number, Payload: make([]byte, 64*1024),
	}
	for range chunks {
		if err := call.Send(chunk); err != nil {
			break // io.EOF: CloseAndRecv returns the error of the server
		}
	}
	return call.CloseAndRecv()
}

func (r *runner) list(ctx context.Context, command command) (any, error) {
	listing := r.client.ListTasks(ctx, &taskgatev1.ListTasksRequest{
		Parent: command.Parent, Filter: command.Filter, PageSize: command.PageSize,
	})
	tasks := []object{}
	for task, err := range listing.All() {
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, taskOf(task))
		if len(tasks) == int(command.Limit) {
			break
		}
	}
	result := object{"tasks": tasks, "total_size": nil}
	if size, known := listing.TotalSize(); known {
		result["total_size"] = size
	}
	return result, nil
}

func (r *runner) update(ctx context.Context, command command) (any, error) {
	var task *taskgatev1.Task
	var err error
	switch command.Do {
	case "cancel_task":
		task, err = r.client.CancelTask(ctx, &taskgatev1.CancelTaskRequest{
			Name: command.Name, RequestId: command.RequestID, Reason: command.Reason,
		})
	case "retry_task":
		task, err = r.client.RetryTask(ctx, &taskgatev1.RetryTaskRequest{
			Name: command.Name, RequestId: command.RequestID, Reason: command.Reason,
		})
	case "suspend_task":
		task, err = r.client.SuspendTask(ctx, &taskgatev1.SuspendTaskRequest{
			Name: command.Name, RequestId: command.RequestID, Reason: command.Reason,
		})
	default:
		return r.batchUpdate(ctx, command)
	}
	return taskOf(task), err
}

func (r *runner) batchUpdate(ctx context.Context, command command) (any, error) {
	request := &taskgatev1.BatchUpdateTasksRequest{}
	for name, action := range command.Updates {
		request.Updates = append(request.Updates, &taskgatev1.TaskUpdate{
			Name:   name,
			Action: taskgatev1.TaskAction(taskgatev1.TaskAction_value["TASK_ACTION_"+action]),
		})
	}
	results, err := r.client.BatchUpdateTasks(ctx, request)
	result := object{}
	for name, failure := range results {
		result[name] = nil
		if failure != nil {
			result[name] = object{"error": errorOf(failure)}
		}
	}
	return result, err
}

func (r *runner) watching(command command) (any, error) {
	switch command.Do {
	case "watch":
		if r.watch != nil {
			r.watch.Close()
		}
		ctx := context.Background()
		if command.Timeout != nil {
			bounded, cancel := context.WithTimeout(ctx, seconds(*command.Timeout))
			context.AfterFunc(bounded, cancel)
			ctx = bounded
		}
		r.watch = r.client.WatchTasks(ctx, &taskgatev1.WatchTasksRequest{
			Parent: command.Parent, Names: command.Names, UntilSettled: command.UntilSettled,
			HeartbeatInterval: duration(command.HeartbeatInterval),
		})
		return object{}, nil
	case "close_watch":
		r.watch.Close()
		return object{}, nil
	default:
		for {
			event, err := r.watch.Next()
			if errors.Is(err, io.EOF) {
				return object{"event": "none"}, nil
			}
			if err != nil {
				return nil, err
			}
			if result := eventOf(event); !slices.Contains(command.Skip, result["event"].(string)) {
				return result, nil
			}
		}
	}
}

func seconds(count float64) time.Duration { return time.Duration(count * float64(time.Second)) }

func duration(count *float64) *durationpb.Duration {
	if count == nil {
		return nil
	}
	return durationpb.New(seconds(*count))
}

func statesOf(words []string) []taskgatev1.TaskState {
	states := make([]taskgatev1.TaskState, 0, len(words))
	for _, each := range words {
		states = append(states, taskgatev1.TaskState(taskgatev1.TaskState_value["TASK_STATE_"+each]))
	}
	return states
}

func stateOf(state taskgatev1.TaskState) string {
	return strings.TrimPrefix(state.String(), "TASK_STATE_")
}
