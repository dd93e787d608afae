"""Converts timestamps between AWS's text and protobuf's (seconds, nanos) exactly.

botocore parses with dateutil, in 25 µs and to the microsecond. ISO 8601, which both services use in
their bodies, is parsed here in 1 µs with all digits. Numbers of seconds since 1970 are parsed as
decimals, and everything else with botocore's parser.
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


@lru_cache(maxsize=16_384, typed=True)  # tasks of a step share timestamps, and polls repeat them
def to_seconds_and_nanos(value: str | float) -> tuple[int, int]:
    """Convert AWS's timestamp to seconds since 1970 and nanoseconds (0 to 999,999,999).

    Raises:
        TypeError: the value is neither text nor a number.
        ValueError: it is not a timestamp.
    """
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError("neither text nor a number")
        return _from_decimal(value)
    value = value.strip()
    match = _ISO.fullmatch(value)
    if match is None:
        return _parse_with_botocore(value)
    whole, fraction, zone = match.groups()
    zone = "Z" if zone.strip().upper() in ("", "UTC", "GMT") else zone.strip()
    try:
        seconds = (datetime.fromisoformat(whole.upper() + zone.upper()) - EPOCH) // SECOND
    except ValueError:
        return _parse_beyond_clock(value)
    except OverflowError as error:
        raise ValueError("not in the years 1 to 9999") from error
    if not OLDEST_SECOND <= seconds <= LAST_SECOND:  # in another year by its zone
        raise ValueError("not in the years 1 to 9999")
    return seconds, int((fraction or "").ljust(9, "0"))


def to_datetime(seconds: int, nanos: int) -> datetime:
    """Return a timestamp for boto3.

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


def _parse_beyond_clock(value: str) -> tuple[int, int]:
    """Parse the times that `datetime` lacks: 24:00 and leap seconds.

    POSIX, and so protobuf, gives a leap second the number of the second after it.

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
    raise ValueError("not a timestamp")


def _parse_with_botocore(value: str) -> tuple[int, int]:
    if not any(digit in value for digit in DIGITS):  # dateutil accepts "now" and "Monday"
        raise ValueError("not a timestamp")
    try:
        moment = parse_timestamp(value)
        # All of AWS's times are UTC; boto3 does not say so for those without a zone.
        return _seconds_and_nanos(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ArithmeticError, RuntimeError, TypeError) as error:
        raise ValueError("not a timestamp") from error


def _seconds_and_nanos(moment: datetime) -> tuple[int, int]:
    seconds, rest = divmod(moment - EPOCH, timedelta(seconds=1))
    return seconds, rest.microseconds * 1000


def _from_decimal(value: float) -> tuple[int, int]:
    # Protobuf has the years 1 to 9999.
    if not OLDEST_SECOND <= value <= LAST_SECOND:
        raise ValueError("not in the years 1 to 9999")
    seconds, nanos = divmod(int(Decimal(repr(value)) * NANOS), NANOS)
    return seconds, nanos
