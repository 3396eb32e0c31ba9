"""The workers that unit tests make end with their tests: thousands of them would fill a machine."""

from __future__ import annotations

import gc
import weakref

from tests.unit.lanes import Worker


def test_a_worker_that_no_test_holds_is_gone():
    worker = Worker("http://127.0.0.1:9")
    held = [weakref.ref(each) for each in (worker, worker.app)]
    worker.loop.close()
    del worker
    gc.collect()
    assert [each() for each in held] == [None, None]
