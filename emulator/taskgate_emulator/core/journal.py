"""Saves the state in a SQLite file: acknowledged changes survive `kill -9`.

The rows that a request changed are written in one transaction before its response is sent. SQLite's
write-ahead log hands a commit to the operating system at once, so the end of the process loses
nothing; `synchronous=NORMAL` skips the wait for the disk, which only a power failure requires.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from taskgate_emulator.core.event_sinks import LogLine
from taskgate_emulator.core.state import Account, Key
from taskgate_emulator.core.timeline import Change, Timeline

__all__ = ["Journal", "StateFileError"]

_FORMAT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS emulator (format INTEGER NOT NULL, starts INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS row (
    kind TEXT, key TEXT, number INTEGER NOT NULL, record TEXT NOT NULL, changes TEXT,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS line (
    log_group TEXT NOT NULL, stream TEXT NOT NULL, timestamp TEXT NOT NULL, message TEXT NOT NULL
);
"""
_TIME, _BYTES = "\0time", "\0bytes"
"""Keys that no member has; they mark values that JSON cannot represent."""


class StateFileError(Exception):
    """The file is not a state file of this version; the message says why."""


class Journal:
    """Saves an account in a file.

    Args:
        path: of the file, which is created if it does not exist.

    Raises:
        StateFileError: the file has another format or version, or is in use.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Created in one thread and used in another, but never by two at once.
            self._database = sqlite3.connect(
                path, check_same_thread=False, isolation_level=None, timeout=0
            )
            self._database.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
            self.starts = self._start()
        except sqlite3.Error as error:
            raise StateFileError(f"{path} cannot be used as state: {error}") from error

    def _start(self) -> int:
        found = self._database.execute("SELECT format, starts FROM emulator").fetchone()
        if found is None:
            self._database.execute("INSERT INTO emulator VALUES (?, 0)", (_FORMAT,))
            return 0
        version, starts = found
        if version != _FORMAT:
            raise StateFileError(f"{self._path} has format {version}, this emulator {_FORMAT}")
        self._database.execute("UPDATE emulator SET starts = starts + 1")
        return int(starts) + 1

    def restore(self, account: Account) -> None:
        """Restore the saved rows and log lines to an empty account."""
        rows = self._database.execute(
            "SELECT kind, key, number, record, changes FROM row ORDER BY number"
        )
        for kind, key, number, record, changes in rows:
            timeline = Timeline(_decode(record), tuple(_changes(changes)))
            account.restore(kind, tuple(json.loads(key)), number, timeline)
        lines = self._database.execute("SELECT log_group, stream, timestamp, message FROM line")
        for group, stream, timestamp, message in lines:
            account.logs.restore(LogLine(group, stream, datetime.fromisoformat(timestamp), message))

    def save(self, account: Account) -> None:
        """Write all changes since the last call in one transaction."""
        changed = account.take_changed()
        lines = account.logs.take_unsaved()
        if not changed and not lines:
            return
        written, deleted = [], []
        for kind, key in changed:
            row = account.table(kind).row(key)
            if row is None:
                deleted.append((kind, json.dumps(key)))
            else:
                written.append((kind, *_row(key, row.number, row.timeline)))
        database = self._database
        database.execute("BEGIN")
        database.executemany("DELETE FROM row WHERE kind = ? AND key = ?", deleted)
        database.executemany("INSERT OR REPLACE INTO row VALUES (?, ?, ?, ?, ?)", written)
        database.executemany(
            "INSERT INTO line VALUES (?, ?, ?, ?)",
            [(line.group, line.stream, line.timestamp.isoformat(), line.message) for line in lines],
        )
        database.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _row(key: Key, number: int, timeline: Timeline) -> tuple[str, int, str, str | None]:
    changes = None
    if timeline.changes:
        changes = _encode(
            [[change.at, change.members, change.timer] for change in timeline.changes]
        )
    return json.dumps(key), number, _encode(timeline.record), changes


def _changes(text: str | None) -> Iterator[Change]:
    for at, members, timer in _decode(text) if text else ():
        yield Change(at, members, timer)


def _encode(value: object) -> str:
    return json.dumps(value, default=_encode_value, separators=(",", ":"))


def _encode_value(value: object) -> dict[str, str]:
    if isinstance(value, datetime):
        return {_TIME: value.isoformat()}
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


def _decode(text: str) -> Any:
    return json.loads(text, object_hook=_decode_value)


def _decode_value(value: Mapping[str, Any]) -> Any:
    if len(value) == 1:
        if _TIME in value:
            return datetime.fromisoformat(value[_TIME])
        if _BYTES in value:
            return base64.b64decode(value[_BYTES])
    return value
