"""How a change log adopts the whole state of a parent that replicas share."""

from __future__ import annotations

from dataclasses import replace

from taskgate_server.tasks.watch.change_log import ChangeLog, Entry
from taskgate_server.tasks.watch.replication import StoreTime, deserialize
from taskgate_server.tasks.watch.shared_parents import State


def load_first(change_log: ChangeLog, state: State, times: StoreTime) -> None:
    """Load a state into an empty change log, with all changes with which watches can resume."""
    tasks = [deserialize(*each, times) for each in state.tasks]
    names = {each.name for each in tasks}
    last: dict[str, Entry] = {}
    for each in state.changes:
        entry = deserialize(*each, times)
        last[entry.name] = entry
    removed = [each for each in last.values() if each.removed and each.name not in names]
    # A removed task has a change only if the change log has the task.
    for entry in removed:
        change_log.apply(replace(entry, removed=False, revision=0))
    for entry in sorted([*tasks, *removed], key=lambda entry: entry.revision):
        change_log.apply(entry)
    change_log.revisions.latest = state.revision
    change_log.horizon = state.horizon
    change_log.revisions.begin(state.epoch, state.horizon)


def merge(change_log: ChangeLog, state: State, times: StoreTime) -> None:
    """Apply the differences to a newer state, with revisions below that of the state."""
    tasks = [deserialize(*each, times) for each in state.tasks]
    names = {each.name for each in tasks}
    removed = [
        replace(each, removed=True, previous=each.state, digest=b"", _change=None)
        for each in change_log.entries()
        if each.name not in names
    ]
    changes = [each for each in tasks if not change_log.has_same(each)]
    changes = sorted([*removed, *changes], key=lambda entry: entry.revision)
    latest = change_log.revisions.latest
    if latest + len(changes) > state.revision:
        # The clock of the store was put back: watchers get new snapshots.
        change_log.horizon = latest + len(changes)
    for index, entry in enumerate(changes):
        change_log.apply(change_log.next_change(entry, latest + 1 + index))
