"""Timestamps between AWS's text and protobuf's (seconds, nanos), exactly.

botocore parses each one with dateutil, at 25 µs and to the microsecond. ISO 8601, which both
services use in their bodies, is read here at 1 µs with all the digits that AWS sent. Numbers of
seconds since 1970 are read as decimals, and what is neither goes to botocore's own parser.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from botocore.utils import parse_timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OLDEST_SECOND = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
FIRST_SECOND = (datetime(1000, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
LAST_SECOND = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
SECOND = timedelta(seconds=1)
NANOS = 1_000_000_000
DIGITS = "0123456789"
_ISO = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(.*)")
_LEAP_SECOND = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:)60(?:[.,]\d+)?(.*)")
_END_OF_DAY = re.compile(r"(\d{4}-\d\d-\d\d[Tt ])24(:00:00(?:[.,]0+)?.*)")


@lru_cache(
    maxsize=16_384, typed=True
)  # tasks of a step share some, and who polls sees the same ones again
def to_seconds_and_nanos(value: str | float) -> tuple[int, int]:
    """AWS's timestamp as seconds since 1970 and nanoseconds (0 to 999,999,999).

    Raises:
        TypeError: neither text nor a number.
        ValueError: no timestamp.
    """
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError("neither text nor a number")
        return _from_decimal(value)
    value = value.strip()
    match = _ISO.fullmatch(value)
    if match is None:
        return _parsed_by_botocore(value)
    whole, fraction, zone = match.groups()
    zone = "Z" if zone.strip().upper() in ("", "UTC", "GMT") else zone.strip()
    try:
        seconds = (datetime.fromisoformat(whole.upper() + zone.upper()) - EPOCH) // SECOND
    except ValueError:
        return _past_the_clock(value)
    except OverflowError as error:
        raise ValueError("not in the years 1 to 9999") from error
    if not OLDEST_SECOND <= seconds <= LAST_SECOND:  # in another year by its zone
        raise ValueError("not in the years 1 to 9999")
    return seconds, int((fraction or "").ljust(9, "0"))


def to_datetime(seconds: int, nanos: int) -> datetime:
    """The moment as boto3 takes it.

    Raises:
        ValueError: finer than boto3 can send (a microsecond), or outside the years 1000 to 9999.
    """
    micros, rest = divmod(nanos, 1000)
    if rest:
        raise ValueError("must not be finer than a microsecond, which is what AWS's SDK can send")
    # Python's strftime, by which boto3 writes years, does not pad them to four digits.
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise ValueError("must be in the years 1000 to 9999")
    return EPOCH + timedelta(seconds=seconds, microseconds=micros)


def _past_the_clock(value: str) -> tuple[int, int]:
    """Parse the times that Python's clock lacks: 24:00 and leap seconds, which are a second later.

    POSIX, and so protobuf, gives a leap second the number of the one after it.

    Raises:
        ValueError: it is neither.
    """
    for form, hour_or_second, later in (
        (_LEAP_SECOND, r"\g<1>59\g<2>", timedelta(seconds=1)),
        (_END_OF_DAY, r"\g<1>00\g<2>", timedelta(days=1)),
    ):
        if form.fullmatch(value):
            seconds, _ = to_seconds_and_nanos(form.sub(hour_or_second, value))
            seconds += later // SECOND
            if seconds > LAST_SECOND:
                break
            return seconds, 0
    raise ValueError("no timestamp")


def _parsed_by_botocore(value: str) -> tuple[int, int]:
    if not any(digit in value for digit in DIGITS):  # dateutil takes "now" and "Monday"
        raise ValueError("no timestamp")
    try:
        moment = parse_timestamp(value)
        # Times without a zone are UTC, as all of AWS's are; boto3 leaves that open.
        return _seconds_and_nanos(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ArithmeticError, RuntimeError, TypeError) as error:
        raise ValueError("no timestamp") from error


def _seconds_and_nanos(moment: datetime) -> tuple[int, int]:
    seconds, rest = divmod(moment - EPOCH, timedelta(seconds=1))
    return seconds, rest.microseconds * 1000


def _from_decimal(value: float) -> tuple[int, int]:
    # The years 1 to 9999 are what protobuf has.
    if not OLDEST_SECOND <= value <= LAST_SECOND:
        raise ValueError("not in the years 1 to 9999")
    seconds, nanos = divmod(int(Decimal(repr(value)) * NANOS), NANOS)
    return seconds, nanos
