"""Names: they are read as they are written, and garbage is refused with the form that is right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from taskgate_server.errors import TaskgateError
from taskgate_server.services.deadline import tasks as deadline
from taskgate_server.services.omics import tasks as omics
from taskgate_server.tasks.names import NameTemplate

DEADLINE, OMICS = deadline.NAMES, omics.NAMES
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
IDS = {
    **{f"{kind}Id": HEX.map(f"{kind}-{{}}".format) for kind in ("farm", "queue", "job", "step")},
    "taskId": st.builds("task-{}-{}".format, HEX, st.integers(0, 9_999_999)),
}
RUN_IDS = st.from_regex(r"[0-9]{1,18}", fullmatch=True)
NAMES = st.one_of(
    st.tuples(st.just(DEADLINE), st.fixed_dictionaries(IDS)),
    st.tuples(st.just(OMICS), st.fixed_dictionaries({"id": RUN_IDS, "taskId": RUN_IDS})),
)
TEMPLATES = pytest.mark.parametrize("template", [DEADLINE, OMICS], ids=["deadline", "omics"])


@given(NAMES)
def test_name_round_trip(named: tuple[NameTemplate, dict[str, str]]) -> None:
    template, values = named
    name = template.format(values)
    assert template.parse(name, "name") == values
    parents = template.parents_of(name)
    assert parents.keys() == template.parent_forms.keys()
    for kind, text in parents.items():
        parent = template.parse_parent(text, "parent")
        assert parent.kind == kind
        assert name.startswith(f"{parent.name}/")
        assert parent.params.items() <= values.items()


@TEMPLATES
@given(
    text=st.text()
    | st.lists(st.sampled_from(["omics", "runs", "1", "tasks", "", "..", "\n"])).map("/".join)
)
def test_other_text_is_an_invalid_argument(template: NameTemplate, text: str) -> None:
    for read in (template.parse, template.parse_parent):
        fault = fault_of(read, text)
        if fault is None:
            assert set(text.split("/")) - {"1"} <= {"omics", "runs", "tasks"}
        else:
            assert fault.code is StatusCode.INVALID_ARGUMENT
            assert fault.message.startswith("name: ")


def fault_of(read: Callable[[str, str], object], text: str) -> TaskgateError | None:
    try:
        read(text, "name")
    except TaskgateError as error:
        return error
    return None
