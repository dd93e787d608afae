"""The boundary between the readers of callers' documents and AWS's errors.

Most readers are libraries, such as a YAML parser or a template's model, and a document can make any
of them fail in ways that it does not declare: a recursion limit, an unexpected key type. Whatever a
reader raises is an error of the document, so the caller gets a `ValidationException`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.validation import Violation, rejection

__all__ = ["reading"]


@contextmanager
def reading(member: str) -> Iterator[None]:
    """Raise AWS's error for whatever is raised in the block, which reads a document.

    Args:
        member: of the request, which has the document.

    Raises:
        AwsError: the document is invalid; the message has the cause, and the line if it is known.
    """
    try:
        yield
    except AwsError:
        raise
    except Exception as error:
        raise rejection([Violation(member, _describe(error))]) from error


def _describe(error: Exception) -> str:
    chain = list(_chain(error))
    if any(isinstance(each, RecursionError) for each in chain):
        return "The document is nested too deeply"
    # A ValueError is what a reader raises about its input; it may be behind a failure to report it.
    reported = next((each for each in chain if isinstance(each, ValueError)), error)
    text = str(reported) or type(reported).__name__
    details = [found for each in chain if (found := _position(each)) and found not in text]
    return ": ".join([text, *details[:1]])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _position(error: BaseException) -> str | None:
    """Return what a parser found, with its line, from an error of JSON, YAML or Python."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        problem = getattr(error, "problem", None) or "invalid"
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
    line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
    if line is None or column is None:
        return None
    return f"line {line}, column {column}: {getattr(error, 'msg', 'invalid')}"
