"""Forms: transcriptions, translations, edits and variations of pictures (openai-python 3.57,
``types/audio/transcription.py``, ``types/images_response.py``).
"""

from __future__ import annotations

import base64

from edge.simulator import openai
from edge.simulator.answers import JSON_TYPE, STREAM_TYPE, Answer, whole
from edge.simulator.conversations import Refused
from edge.simulator.kept import form
from edge.simulator.ledger import RawHeaders
from edge.simulator.openai import CREATED, dumps

__all__ = ["FORMS", "form_answer"]

FORMS = ("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits", "/v1/images/variations")


def form_answer(path: str, headers: RawHeaders, body: bytes) -> Answer:
    """The answer to a form that was posted."""
    try:
        told, media_type = _told(path, form(headers, body))
        status = 200
    except Refused as refusal:
        status, told, media_type = refusal.status, openai.error(refusal.status, str(refusal)), JSON_TYPE
    return Answer(status, whole(status, told, content_type=media_type), at_once=True, size=len(told))


def _told(path: str, fields: dict[str, tuple[str, bytes]]) -> tuple[bytes, bytes]:
    sound = path.startswith("/v1/audio/")
    for name in ("file", "model") if sound else ("image", "model"):
        if name not in fields:
            raise Refused(400, f"Missing required parameter: '{name}'.")
    model, file = fields["model"][1].decode(), fields["file" if sound else "image"]
    if model.startswith("sim-"):
        raise Refused(int(model.split("-")[1]), "Simulated.")
    usage = {"input_tokens": max(1, len(file[1]) // 100), "output_tokens": 7}
    usage["total_tokens"] = sum(usage.values())
    if not sound:
        picture = base64.b64encode(file[1][:16]).decode()
        return dumps({"created": CREATED, "data": [{"b64_json": picture}], "usage": usage}), JSON_TYPE
    text = f"{file[0]} of {len(file[1])} bytes, by {model}"
    told = {"text": text, "usage": {"type": "tokens", **usage}}
    if fields.get("stream", ("", b""))[1] != b"true":
        return dumps(told), JSON_TYPE
    events = [{"type": "transcript.text.delta", "delta": text}, {"type": "transcript.text.done", **told}]
    return b"".join(b"data: " + dumps(event) + b"\n\n" for event in events), STREAM_TYPE
