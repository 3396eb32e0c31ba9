"""How much the scanner finds of what generators make up: the figures of ``python -m benchmarks.detection``, smaller."""

from __future__ import annotations

import pytest

pytest.importorskip("faker", reason="faker is not installed: no corpora to detect anything in")
pytest.importorskip("phonenumbers", reason="phonenumbers is not installed: no corpora to detect anything in")
pytest.importorskip("stdnum", reason="python-stdnum is not installed: no corpora to detect anything in")

from benchmarks import detection


def test_filled_templates(scan_module):
    for kind, score in detection.filled(scan_module, 600, seed=11).items():
        recall, precision = detection.TARGETS[kind]
        assert score.fields > 15, kind
        assert score.recall >= recall, (kind, score.missed)
        assert score.precision >= precision, (kind, score.wrong)


def test_example_numbers_of_all_regions(scan_module):
    for notation, score in detection.example_numbers(scan_module).items():
        assert score.fields > 400
        assert score.recall >= (0.9 if notation == "national" else 0.99), score.missed
        assert score.precision >= 0.99, score.wrong


def test_ibans_of_all_countries(scan_module):
    score = detection.ibans(scan_module, seed=3)
    assert score.fields > 150
    assert (score.recall, score.precision) == (1.0, 1.0), (score.missed, score.wrong)


def test_false_hits_are_few(scan_module):
    hits, total, shown = detection.false_hits(scan_module, 1500, seed=5)
    assert total > 90_000
    assert hits.total() / total * 10_000 <= detection.FALSE_HITS, shown
