"""Every input of the corpora, replayed: what fuzzing has reached or found once holds for good."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.fuzz.run import MAX_SIZE, NAMES
from tests.fuzz.targets import CORPUS, TARGETS, builds, corpus, here

INPUTS = [pytest.param(name, path, id=f"{name}-{path.name}") for name in TARGETS for path in corpus(name)]


@pytest.mark.once
@pytest.mark.parametrize(("name", "path"), INPUTS)
def test_every_input_holds_on_the_builds_that_are_here(name, path):
    if not here(name):
        pytest.skip(f"there is no module {name}")
    TARGETS[name](builds(name), path.read_bytes())


def test_each_target_has_a_corpus_that_is_small():
    assert set(NAMES) == set(TARGETS) == MAX_SIZE.keys() == {path.name for path in CORPUS.iterdir()}
    for name in TARGETS:
        sizes = [path.stat().st_size for path in corpus(name)]
        assert 10 <= len(sizes) <= 150, name
        assert max(sizes) <= 4096, name


def altered(module, **others):
    """A build that differs from `module`."""
    return SimpleNamespace(**{**vars(module), **others})


def test_a_build_that_differs_is_found():
    def refuses(name, data, **others):
        pure = builds(name)[0]
        TARGETS[name]([pure, pure], data)
        with pytest.raises(AssertionError):
            TARGETS[name]([pure, altered(pure, **others)], data)

    scan = builds("json")[0].scan_json
    refuses("json", b'{"a":1}', scan_json=lambda body, *limits: {"a": (5, 7)} if body.endswith(b"}") else scan(body))
    canonical = builds("key")[0].canonical
    refuses("key", b'{"b":1,"a":2}', canonical=lambda value: canonical(dict(value)) + b"\x00")

    class Decoder(builds("sse")[0].SSEDecoder):
        def feed(self, chunk):
            return super().feed(chunk.replace(b"\r", b"\n"))

    class Peer(builds("frames")[0].Peer):
        def feed(self, data):
            return super().feed(data)[:1]

    refuses("frames", b"\x03\xff\x80\x80\x80\x01\x01a\x01\x01b", Peer=Peer)
    refuses("sse", b"\x80\x80\x80\x80\xffdata: a\r\ndata: b\r\n\r\n", SSEDecoder=Decoder)
