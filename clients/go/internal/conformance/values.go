package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	taskgate "github.com/taskgate/taskgate/clients/go"
	taskgatev1 "github.com/taskgate/taskgate/clients/go/gen/v1"
)

func taskOf(task *taskgatev1.Task) object {
	service := ""
	switch task.GetNative().(type) {
	case *taskgatev1.Task_Deadline:
		service = "deadline"
	case *taskgatev1.Task_Omics:
		service = "omics"
	case *taskgatev1.Task_Other:
		service = "other"
	}
	parameters := object{}
	for name, value := range task.GetParameters() {
		parameters[name] = parameterOf(value)
	}
	return object{
		"name": task.GetName(), "state": stateOf(task.GetState()), "native_state": task.GetNativeState(),
		"service": service, "parameters": parameters,
	}
}

// parentOf returns nil, which is null in JSON, for no parent.
func parentOf(parent *taskgatev1.ParentStatus) any {
	if parent == nil {
		return nil
	}
	return object{
		"name": parent.GetName(), "state": stateOf(parent.GetState()), "native_state": parent.GetNativeState(),
		"ended": parent.GetEnded(), "lifecycle_status": parent.LifecycleStatus,
		"failure_reason": parent.FailureReason, "status_message": parent.StatusMessage,
	}
}

func parameterOf(parameter *taskgatev1.TaskParameter) object {
	switch value := parameter.GetValue().(type) {
	case *taskgatev1.TaskParameter_Int:
		return object{"int": value.Int}
	case *taskgatev1.TaskParameter_Float:
		return object{"float": value.Float}
	case *taskgatev1.TaskParameter_String_:
		return object{"string": value.String_}
	case *taskgatev1.TaskParameter_Path:
		return object{"path": value.Path}
	case *taskgatev1.TaskParameter_ChunkInt:
		return object{"chunk_int": value.ChunkInt}
	case *taskgatev1.TaskParameter_UnknownMember:
		return object{"unknown_member": value.UnknownMember}
	default:
		return object{}
	}
}

func errorOf(failure error) object {
	unpacked := taskgate.ErrorOf(failure)
	violations := []object{}
	for _, each := range unpacked.Violations {
		violations = append(violations, object{"field": each.Field, "description": each.Description})
	}
	values := object{
		"code": codeOf(unpacked), "message": unpacked.Message, "reason": unpacked.Reason,
		"domain": unpacked.Domain, "metadata": unpacked.Metadata, "violations": violations,
		"retry_after": nil, "resource": nil, "quota": unpacked.Quota, "request_id": unpacked.RequestID,
	}
	if unpacked.RetryAfter != nil {
		values["retry_after"] = unpacked.RetryAfter.Seconds()
	}
	if unpacked.Resource != nil {
		values["resource"] = []string{unpacked.Resource.Type, unpacked.Resource.ID}
	}
	return values
}

// codeOf returns the code in the form that gRPC has outside of Go: NOT_FOUND.
func codeOf(failure *taskgate.Error) string {
	name := failure.Code.String()
	if name == "OK" {
		return name
	}
	return strings.Replace(strings.ToUpper(snake(name)), "CANCELED", "CANCELLED", 1)
}

func eventOf(event taskgate.Event) object {
	switch event := event.(type) {
	case taskgate.Snapshot:
		tasks := []object{}
		for _, each := range event.Tasks {
			tasks = append(tasks, taskOf(each))
		}
		reason := strings.TrimPrefix(event.Reason.String(), "SNAPSHOT_REASON_")
		return object{"event": "snapshot", "reason": reason, "tasks": tasks}
	case taskgate.TaskChange:
		return object{
			"event": "change", "kind": strings.TrimPrefix(event.Kind.String(), "TASK_CHANGE_KIND_"),
			"task": taskOf(event.Task), "previous_state": stateOf(event.PreviousState),
		}
	case taskgate.Heartbeat:
		values := object{"event": "heartbeat", "upstream_error": nil}
		if event.UpstreamError != nil {
			values["upstream_error"] = errorOf(event.UpstreamError)
		}
		return values
	case taskgate.Reconnecting:
		return object{"event": "reconnecting", "error": errorOf(event.Err), "failures": event.Failures}
	case taskgate.Resumed:
		return object{"event": "resumed"}
	case taskgate.WatchEnd:
		reason := strings.TrimPrefix(event.Reason.String(), "WATCH_END_REASON_")
		return object{"event": "end", "reason": reason, "parent": parentOf(event.ParentStatus)}
	default:
		return object{"event": "unknown"}
	}
}

func parsed(text string) (any, error) {
	name, err := taskgate.ParseTaskName(text)
	if err != nil {
		var other error
		if name, other = taskgate.ParseParentName(text); other != nil {
			return nil, errInvalid{errors.Join(err, other)}
		}
	}
	fields := reflect.ValueOf(name)
	ids := []string{}
	for index := range fields.NumField() {
		ids = append(ids, fields.Field(index).String())
	}
	return object{"kind": kindOf(name), "ids": ids}, nil
}

func built(kind string, ids []string) (any, error) {
	index := slices.IndexFunc(kinds, func(each taskgate.Name) bool { return kindOf(each) == kind })
	if index < 0 {
		return nil, fmt.Errorf("unknown kind of name: %s", kind)
	}
	fields := reflect.New(reflect.TypeOf(kinds[index])).Elem()
	for index, id := range ids {
		fields.Field(index).SetString(id)
	}
	name := fields.Interface().(taskgate.Name)
	if err := taskgate.ValidateName(name); err != nil {
		return nil, errInvalid{err}
	}
	return name.String(), nil
}

// kindOf returns omics_task for an OmicsTaskName.
func kindOf(name taskgate.Name) string {
	return snake(strings.TrimSuffix(reflect.TypeOf(name).Name(), "Name"))
}

// snake returns a name in CamelCase in snake_case.
func snake(name string) string {
	var words strings.Builder
	for index, letter := range name {
		if index > 0 && letter >= 'A' && letter <= 'Z' {
			words.WriteByte('_')
		}
		words.WriteRune(letter)
	}
	return strings.ToLower(words.String())
}

// nativeIDs returns the ids in the name of a Deadline task; empty ones for any other name.
func nativeIDs(name string) (farm, queue, job, step, task *string) {
	parsed, _ := taskgate.ParseTaskName(name)
	ids, _ := parsed.(taskgate.DeadlineTaskName)
	return &ids.Farm, &ids.Queue, &ids.Job, &ids.Step, &ids.Task
}
