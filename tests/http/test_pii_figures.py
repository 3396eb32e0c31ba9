"""How much of what generators make up a provider gets to see, through `pii.request: mask`, and what recordings come to."""

from __future__ import annotations

import json
import re
from collections import Counter

import httpx2
import pytest

pytest.importorskip("faker", reason="faker is not installed: no corpora to detect anything in")

from benchmarks import detection
from edge import config
from edge._fast import KINDS
from edge.guard.pii import redact_now
from edge.guard.policy import PSEUDONYM, Policy
from tests.harness import Canned, Edge, minimal, running

BATCH = 40
PSEUDONYMS = Policy("pseudonymize", config.Pii(), b"s" * 32)


@pytest.fixture(scope="module")
def masking(front, tmp_path_factory):
    with Canned(minimal) as provider:
        base = {"dialect": "openai", "base_url": f"{provider.url}/v1", "api_keys": ["k"]}
        edge = Edge(
            tmp_path_factory.mktemp("figures"), {"providers": {"o": base}, "pii": {"request": "mask"}}, front=front
        )
        with running(edge):
            yield edge, provider


class EndToEnd:
    """What `detection` asks of a scanner, answered by what a provider saw."""

    KINDS = KINDS

    def __init__(self, masking, texts):
        self.spans = {}
        edge, provider = masking
        for at in range(0, len(texts), BATCH):
            batch = texts[at : at + BATCH]
            body = {"model": "o/gpt-4o", "messages": [{"role": "user", "content": text} for text in batch]}
            assert httpx2.post(f"{edge.url}/v1/chat/completions", json=body, timeout=60).status_code == 200
            seen = json.loads(provider.seen[-1].body)["messages"]
            made = redact_now(PSEUDONYMS, json.dumps(body).encode())
            named = json.loads(made.body)["messages"]
            for text, message, other in zip(batch, seen, named, strict=True):
                masked = PSEUDONYM.sub(lambda match: match[0].partition("_")[0] + "]", other["content"])
                assert message["content"] == masked
                self.spans[text.encode()] = self.found(text, other["content"], made.originals)

    def found(self, text, named, originals):
        spans, at, position = [], 0, 0
        for match in PSEUDONYM.finditer(named):
            position += len(named[at : match.start()].encode())
            size = len(originals[match[0]].encode())
            spans.append((position, position + size, KINDS.index(match[0][1:].partition("_")[0].lower())))
            position += size
            at = match.end()
        assert re.sub(PSEUDONYM, lambda match: originals[match[0]], named) == text
        return spans

    def scan_text(self, data):
        return self.spans[data]


def test_recall_and_precision_of_what_a_provider_sees(masking):
    filler = detection.Filler(11)
    every = detection.templates()
    rich = [each for each in every if any(f"{{{{{name}}}}}" in each for name in detection.FIELDS)]
    filled = [filler.fill(filler.dice.choice(rich if number % 2 else every)) for number in range(800)]
    seen = EndToEnd(masking, [text for text, _ in filled])
    scores = {kind: detection.Score() for kind in KINDS}
    for text, fields in filled:
        detection.judge(seen, text.encode(), fields, scores)
    print("| kind | fields | recall | precision |\n|---|---|---|---|")
    for kind, score in scores.items():
        print(f"| {kind} | {score.fields} | {score.recall:.3f} | {score.precision:.3f} |")
        recall, precision = detection.TARGETS[kind]
        assert score.fields > 15, kind
        assert score.recall >= recall, (kind, score.missed)
        assert score.precision >= precision, (kind, score.wrong)


def test_false_hits_in_what_a_provider_sees(masking):
    texts = [each.decode() for each in detection.negatives(800, 5)]
    seen = EndToEnd(masking, texts)
    hits = Counter(KINDS[kind] for spans in seen.spans.values() for _, _, kind in spans)
    total = sum(len(text.encode()) for text in texts)
    print(f"{hits.total()} false hits in {total} bytes of {len(texts)} texts")
    assert hits.total() / total * 10_000 <= detection.FALSE_HITS, hits
