package taskgate

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidName is the error of a malformed name, and of an id that cannot be part of a name.
var ErrInvalidName = errors.New("invalid name")

// Name is the name of a task, or of a parent of tasks, as its ids.
type Name interface {
	// String returns the name.
	String() string
	form() form
	ids() []string
}

// DeadlineQueueName is the name of a queue of an AWS Deadline Cloud farm.
type DeadlineQueueName struct{ Farm, Queue string }

// DeadlineJobName is the name of a render job.
type DeadlineJobName struct{ Farm, Queue, Job string }

// DeadlineStepName is the name of a step of a render job.
type DeadlineStepName struct{ Farm, Queue, Job, Step string }

// DeadlineTaskName is the name of a task of a render job.
type DeadlineTaskName struct{ Farm, Queue, Job, Step, Task string }

// OmicsRunName is the name of an AWS HealthOmics workflow run.
type OmicsRunName struct{ Run string }

// OmicsTaskName is the name of a task of a workflow run.
type OmicsTaskName struct{ Run, Task string }

type form struct {
	service     string
	collections []string
}

var (
	deadlineForm = form{"deadline", []string{"farms", "queues", "jobs", "steps", "tasks"}}
	omicsForm    = form{"omics", []string{"runs", "tasks"}}
)

func (f form) first(count int) form { return form{f.service, f.collections[:count]} }

func (n DeadlineQueueName) form() form { return deadlineForm.first(2) }
func (n DeadlineJobName) form() form   { return deadlineForm.first(3) }
func (n DeadlineStepName) form() form  { return deadlineForm.first(4) }
func (n DeadlineTaskName) form() form  { return deadlineForm }
func (n OmicsRunName) form() form      { return omicsForm.first(1) }
func (n OmicsTaskName) form() form     { return omicsForm }

func (n DeadlineQueueName) ids() []string { return []string{n.Farm, n.Queue} }
func (n DeadlineJobName) ids() []string   { return []string{n.Farm, n.Queue, n.Job} }
func (n DeadlineStepName) ids() []string  { return []string{n.Farm, n.Queue, n.Job, n.Step} }
func (n DeadlineTaskName) ids() []string  { return []string{n.Farm, n.Queue, n.Job, n.Step, n.Task} }
func (n OmicsRunName) ids() []string      { return []string{n.Run} }
func (n OmicsTaskName) ids() []string     { return []string{n.Run, n.Task} }

func (n DeadlineQueueName) String() string { return join(n) }
func (n DeadlineJobName) String() string   { return join(n) }
func (n DeadlineStepName) String() string  { return join(n) }
func (n DeadlineTaskName) String() string  { return join(n) }
func (n OmicsRunName) String() string      { return join(n) }
func (n OmicsTaskName) String() string     { return join(n) }

// ValidateName returns an error that wraps [ErrInvalidName] if an id is empty or contains a slash.
func ValidateName(name Name) error {
	for index, id := range name.ids() {
		if id == "" || strings.Contains(id, "/") {
			return fmt.Errorf("%w: the id %q in %s is empty or contains a slash",
				ErrInvalidName, id, name.form().collections[index])
		}
	}
	return nil
}

// ParseTaskName parses the name of a task. It returns a [DeadlineTaskName] or an [OmicsTaskName], or an
// error that wraps [ErrInvalidName].
func ParseTaskName(name string) (Name, error) {
	return parse(name, []Name{DeadlineTaskName{}, OmicsTaskName{}})
}

// ParseParentName parses the name of a queue, job, step or run. Errors wrap [ErrInvalidName].
func ParseParentName(name string) (Name, error) {
	return parse(name, []Name{DeadlineStepName{}, DeadlineJobName{}, DeadlineQueueName{}, OmicsRunName{}})
}

func parse(name string, kinds []Name) (Name, error) {
	service, rest, _ := strings.Cut(name, "/")
	parts := strings.Split(rest, "/")
	forms := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		if service == kind.form().service && matches(parts, kind.form().collections) {
			return fill(kind, parts), nil
		}
		forms = append(forms, kind.form().String())
	}
	return nil, fmt.Errorf("%w: %q; the form is %s", ErrInvalidName, name, strings.Join(forms, " or "))
}

func matches(parts, collections []string) bool {
	if len(parts) != 2*len(collections) {
		return false
	}
	for index, collection := range collections {
		if parts[2*index] != collection || parts[2*index+1] == "" {
			return false
		}
	}
	return true
}

func fill(kind Name, parts []string) Name {
	id := func(index int) string { return parts[2*index+1] }
	switch kind.(type) {
	case DeadlineTaskName:
		return DeadlineTaskName{id(0), id(1), id(2), id(3), id(4)}
	case DeadlineStepName:
		return DeadlineStepName{id(0), id(1), id(2), id(3)}
	case DeadlineJobName:
		return DeadlineJobName{id(0), id(1), id(2)}
	case DeadlineQueueName:
		return DeadlineQueueName{id(0), id(1)}
	case OmicsTaskName:
		return OmicsTaskName{id(0), id(1)}
	default:
		return OmicsRunName{id(0)}
	}
}

func join(name Name) string {
	var text strings.Builder
	text.WriteString(name.form().service)
	for index, id := range name.ids() {
		text.WriteString("/" + name.form().collections[index] + "/" + id)
	}
	return text.String()
}

func (f form) String() string {
	text := f.service
	for _, collection := range f.collections {
		text += "/" + collection + "/{" + strings.TrimSuffix(collection, "s") + "}"
	}
	return text
}
