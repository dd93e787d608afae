"""The benchmarks run, and their bars hold."""

from __future__ import annotations

import sys

import pytest

from benchmarks import converter

pytestmark = pytest.mark.alone


def test_the_converter_is_cheaper_than_the_sdks_parser(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["converter", "--check"])
    monkeypatch.setattr(converter, "ROUNDS", 3)
    assert converter.main() == 0
    assert "times cheaper" in capsys.readouterr().out
