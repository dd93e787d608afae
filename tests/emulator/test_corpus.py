"""The emulator's plans for the corpus of definitions."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.emulator.corpus_cases import Case, print_scores, read_corpus

CASES = read_corpus()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.language}-{case.feature}")
def test_definition_makes_the_expected_tasks(case: Case) -> None:
    if case.deviation is None:
        assert case.planned() == case.tasks
    else:
        assert case.score() < 1, "it deviates no longer: remove `deviation` from expected.yaml"


def test_each_language_has_enough_definitions() -> None:
    counts = Counter(case.language for case in CASES)
    assert counts.keys() == {"cwl", "nextflow", "wdl"}
    assert min(counts.values()) >= 15


def test_scores_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores()
    assert capsys.readouterr().out.count("definitions") == 3
