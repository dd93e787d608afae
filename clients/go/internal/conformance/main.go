// Command conformance does with the Go client what the cases of clients/conformance say; its
// commands are described in that folder's README.md.
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
	Timeout         *float64          `json:"timeout"`
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

// errInvalid is for arguments that the client refuses.
type errInvalid struct{ error }

type runner struct {
	client *taskgate.Client
	watch  *taskgate.Watch
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	var work runner
	for lines.Scan() {
		var asked command
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			log.Fatal(err)
		}
		answer, err := json.Marshal(work.run(asked))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(answer))
	}
}

func (r *runner) run(asked command) object {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if asked.CancelAfter != nil {
		time.AfterFunc(seconds(*asked.CancelAfter), cancel)
	}
	if asked.Timeout != nil && asked.Do != "watch" {
		bounded, stop := context.WithTimeout(ctx, seconds(*asked.Timeout))
		defer stop()
		ctx = bounded
	}
	value, err := r.do(ctx, asked)
	var invalid errInvalid
	switch {
	case err == nil:
		return object{"ok": value}
	case errors.As(err, &invalid):
		return object{"invalid": err.Error()}
	case asked.CancelAfter != nil && errors.Is(err, context.Canceled):
		return object{"cancelled": true}
	default:
		return object{"error": errorOf(err)}
	}
}

func (r *runner) do(ctx context.Context, asked command) (any, error) {
	switch asked.Do {
	case "connect":
		return object{}, r.connect(asked)
	case "parse_name":
		return parsed(asked.Name)
	case "build_name":
		return built(asked.Kind, asked.IDs)
	case "watch", "next", "close_watch":
		return r.watching(asked)
	case "cancel_task", "retry_task", "suspend_task", "batch_update_tasks":
		return r.update(ctx, asked)
	default:
		return r.read(ctx, asked)
	}
}

func (r *runner) connect(asked command) error {
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
	if asked.TLS != nil {
		options = append(options, taskgate.WithTLS(taskgate.TLS(*asked.TLS)))
	}
	switch {
	case asked.Token != "":
		options = append(options, taskgate.WithToken(taskgate.StaticToken(asked.Token)))
	case asked.TokenFile != "":
		options = append(options, taskgate.WithToken(taskgate.TokenFile(asked.TokenFile)))
	case asked.TokenSequence != nil:
		left := asked.TokenSequence
		options = append(options, taskgate.WithToken(func(context.Context) (string, error) {
			token := left[0]
			if len(left) > 1 {
				left = left[1:]
			}
			return token, nil
		}))
	}
	if asked.Target != "" {
		options = append(options, taskgate.WithTarget(asked.Target))
	}
	if asked.Balance {
		options = append(options, taskgate.WithBalancing())
	}
	client, err := taskgate.Connect(asked.Address, options...)
	if err != nil {
		return errInvalid{err}
	}
	r.client = client
	return nil
}

func (r *runner) read(ctx context.Context, asked command) (any, error) {
	switch asked.Do {
	case "get_task":
		task, err := r.client.GetTask(ctx, &taskgatev1.GetTaskRequest{Name: asked.Name, MaxAge: duration(asked.MaxAge)})
		return taskOf(task), err
	case "batch_get_tasks":
		results, err := r.client.BatchGetTasks(ctx, &taskgatev1.BatchGetTasksRequest{Names: asked.Names})
		told := make([]object, 0, len(results))
		for _, each := range results {
			if each.Err != nil {
				told = append(told, object{"error": errorOf(each.Err)})
			} else {
				told = append(told, taskOf(each.Task))
			}
		}
		return told, err
	case "list_tasks":
		return r.list(ctx, asked)
	case "summarize_tasks":
		answer, err := r.client.SummarizeTasks(ctx, &taskgatev1.SummarizeTasksRequest{Parent: asked.Parent})
		states := object{}
		for _, each := range answer.GetCounts().GetStates() {
			states[stateOf(each.GetState())] = each.GetCount()
		}
		return object{
			"total": answer.GetCounts().GetTotal(), "states": states,
			"settled": answer.GetCounts().GetSettled(), "parent": parentOf(answer.GetParentStatus()),
		}, err
	case "wait_task":
		answer, err := r.client.WaitTask(ctx, &taskgatev1.WaitTaskRequest{Name: asked.Name, States: statesOf(asked.States)})
		return object{
			"task": taskOf(answer.GetTask()), "done": answer.GetDone(),
			"parent": parentOf(answer.GetParentStatus()),
		}, err
	case "read_log":
		lines := []string{}
		request := &taskgatev1.StreamTaskLogsRequest{
			Name: asked.Name, Follow: asked.Follow, Limit: asked.Limit, Tail: asked.Tail, Attempt: asked.Attempt,
			HeartbeatInterval: duration(asked.HeartbeatInterval),
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
		return r.client.IsServing(ctx, asked.Service)
	case "get_farm":
		farm, err := r.client.Deadline.GetFarm(ctx, &deadlinev1.GetFarmRequest{FarmId: &asked.FarmID})
		return object{"display_name": farm.GetDisplayName()}, err
	case "upload":
		answer, err := r.upload(ctx, asked.Chunks)
		return object{"checksum": answer.GetChecksum()}, err
	default:
		return nil, fmt.Errorf("no command %q", asked.Do)
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
			break // io.EOF: what the server has said is what CloseAndRecv gives
		}
	}
	return call.CloseAndRecv()
}

func (r *runner) list(ctx context.Context, asked command) (any, error) {
	listing := r.client.ListTasks(ctx, &taskgatev1.ListTasksRequest{
		Parent: asked.Parent, Filter: asked.Filter, PageSize: asked.PageSize,
	})
	tasks := []object{}
	for task, err := range listing.All() {
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, taskOf(task))
		if len(tasks) == int(asked.Limit) {
			break
		}
	}
	told := object{"tasks": tasks, "total_size": nil}
	if size, known := listing.TotalSize(); known {
		told["total_size"] = size
	}
	return told, nil
}

func (r *runner) update(ctx context.Context, asked command) (any, error) {
	var task *taskgatev1.Task
	var err error
	switch asked.Do {
	case "cancel_task":
		task, err = r.client.CancelTask(ctx, &taskgatev1.CancelTaskRequest{
			Name: asked.Name, RequestId: asked.RequestID, Reason: asked.Reason,
		})
	case "retry_task":
		task, err = r.client.RetryTask(ctx, &taskgatev1.RetryTaskRequest{
			Name: asked.Name, RequestId: asked.RequestID, Reason: asked.Reason,
		})
	case "suspend_task":
		task, err = r.client.SuspendTask(ctx, &taskgatev1.SuspendTaskRequest{
			Name: asked.Name, RequestId: asked.RequestID, Reason: asked.Reason,
		})
	default:
		return r.batchUpdate(ctx, asked)
	}
	return taskOf(task), err
}

func (r *runner) batchUpdate(ctx context.Context, asked command) (any, error) {
	request := &taskgatev1.BatchUpdateTasksRequest{}
	for name, action := range asked.Updates {
		request.Updates = append(request.Updates, &taskgatev1.TaskUpdate{
			Name:   name,
			Action: taskgatev1.TaskAction(taskgatev1.TaskAction_value["TASK_ACTION_"+action]),
		})
	}
	results, err := r.client.BatchUpdateTasks(ctx, request)
	told := object{}
	for name, failure := range results {
		told[name] = nil
		if failure != nil {
			told[name] = object{"error": errorOf(failure)}
		}
	}
	return told, err
}

func (r *runner) watching(asked command) (any, error) {
	switch asked.Do {
	case "watch":
		if r.watch != nil {
			r.watch.Close()
		}
		ctx := context.Background()
		if asked.Timeout != nil {
			bounded, cancel := context.WithTimeout(ctx, seconds(*asked.Timeout))
			context.AfterFunc(bounded, cancel)
			ctx = bounded
		}
		r.watch = r.client.WatchTasks(ctx, &taskgatev1.WatchTasksRequest{
			Parent: asked.Parent, Names: asked.Names, UntilSettled: asked.UntilSettled,
			HeartbeatInterval: duration(asked.HeartbeatInterval),
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
			if told := eventOf(event); !slices.Contains(asked.Skip, told["event"].(string)) {
				return told, nil
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
