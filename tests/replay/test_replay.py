"""A small part of the corpus, twice against the tree that is here: the same tree shows no difference."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.replay.compare import differences
from tests.replay.playing import play

ONLY = ["*/routes/chat", "*/routes/messages-stream-translated", "*/again/chat-stream"]


def test_two_plays_of_one_tree_differ_in_nothing():
    edge = Path(sys.executable).with_name("edge")
    plays = [[each for portion in play(edge, ONLY, ("lane", "asgi"), jobs=2) for each in portion] for _ in range(2)]
    old, new = ({each["case"]: each for each in records} for records in plays)
    assert len(old) == 2 * len(ONLY)
    assert not [case for case, record in old.items() if "notes" in record]
    assert not [str(each) for each in differences(old, new)]
    statuses = {
        answer["status"] for record in old.values() for client in record["clients"] for answer in client["answers"]
    }
    assert statuses == {"HTTP/1.1 200 OK"}
