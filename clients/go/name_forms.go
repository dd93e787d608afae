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
	// form returns the form: literal segments, and ids in braces.
	form() string
	ids() []string
	// with returns a name of the same type.
	with(ids []string) Name
}

// ValidateName returns an error that wraps [ErrInvalidName] if an id is empty or contains a slash.
func ValidateName(name Name) error {
	for index, id := range name.ids() {
		if id == "" || strings.Contains(id, "/") {
			return fmt.Errorf("%w: the id %q, number %d of %s, is empty or contains a slash",
				ErrInvalidName, id, index+1, name.form())
		}
	}
	return nil
}

// ParseTaskName parses the name of a task. It returns a type such as [OmicsTaskName], or an error that
// wraps [ErrInvalidName].
func ParseTaskName(name string) (Name, error) { return parse(name, taskNames) }

// ParseParentName parses the name of a parent of tasks. Errors wrap [ErrInvalidName].
func ParseParentName(name string) (Name, error) { return parse(name, parentNames) }

func parse(name string, kinds []Name) (Name, error) {
	segments := strings.Split(name, "/")
	forms := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		if ids, ok := match(strings.Split(kind.form(), "/"), segments); ok {
			return kind.with(ids), nil
		}
		forms = append(forms, kind.form())
	}
	return nil, fmt.Errorf("%w: %q; the form is %s", ErrInvalidName, name, strings.Join(forms, " or "))
}

// match returns the ids in the segments of a name, if it has the form.
func match(form, name []string) ([]string, bool) {
	if len(form) != len(name) {
		return nil, false
	}
	var ids []string
	for index, segment := range form {
		switch {
		case !isID(segment) && name[index] == segment:
		case isID(segment) && name[index] != "":
			ids = append(ids, name[index])
		default:
			return nil, false
		}
	}
	return ids, true
}

func join(name Name) string {
	ids := name.ids()
	segments := strings.Split(name.form(), "/")
	for index, segment := range segments {
		if isID(segment) {
			segments[index], ids = ids[0], ids[1:]
		}
	}
	return strings.Join(segments, "/")
}

// isID reports whether a segment of a form stands for an id.
func isID(segment string) bool { return strings.HasPrefix(segment, "{") }
