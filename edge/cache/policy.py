"""May this request be answered from the cache, and may its answer be kept? From its headers, its body and the
configuration, without looking at what is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.call import Call
from edge.config import CacheMode
from edge.dialects.provider_state import depends_on_state
from edge.errors import Headers, InvalidRequest, NotCached

if TYPE_CHECKING:
    from edge.cache.memory import Held
    from edge.payload import Payload

__all__ = ["CACHEABLE", "Lookup", "Plan", "caches_for", "mode_for", "plan_for"]

CACHEABLE = frozenset({"chat", "completions", "messages", "responses", "embeddings", "rerank", "count_tokens"})
DETERMINISTIC = frozenset({"embeddings", "rerank", "count_tokens"})
"""Asked twice, these answer the same."""
STRICTEST: tuple[CacheMode, ...] = ("off", "deterministic", "all")
MAX_TTL_S = 31_536_000
NONE: frozenset[bytes] = frozenset()


class Plan:
    """``look``: a stored answer will do, and so will one that is on its way; ``store``: the answer may be kept, for
    ``ttl_s`` at most where that is not None; ``only``: nobody may be asked for it.

    ``digest`` is the cache key, ``choices`` how many the request asks for; ``payload`` what its body says, once it has
    come again as it was.
    """

    __slots__ = ("choices", "digest", "look", "only", "payload", "store", "ttl_s")

    def __init__(
        self, look: bool, store: bool, only: bool, ttl_s: int | None, digest: bytes = b"", choices: int = 1
    ) -> None:
        self.look = look
        self.store = store
        self.only = only
        self.ttl_s = ttl_s
        self.digest = digest
        self.choices = choices
        self.payload: Payload | None = None


class Lookup:
    """The caches' part in a request that has a plan: ``held`` is the answer that memory has for it, None for none."""

    __slots__ = ("held", "plan")

    def __init__(self, plan: Plan, held: Held | None = None) -> None:
        self.plan = plan
        self.held = held


def caches_for(call: Call) -> bool:
    """Whether the caches may have a part in a request of its kind: in none whose answer is kept for its client."""
    route = call.head.route
    return call.state.caches and route.api in CACHEABLE and call.keep is None


def mode_for(settings: CacheMode, *overrides: CacheMode | None) -> CacheMode:
    """The mode in force: the configuration's, unless a key or a model has one; the stricter where both do."""
    given = [mode for mode in overrides if mode is not None]
    return min(given, key=STRICTEST.index) if given else settings


def plan_for(call: Call, mode: CacheMode, body: dict[str, Any] | None) -> Plan | None:
    """The plan for a request whose decoded body is `body`, None for one that cannot be keyed; None where the cache has
    no part in the request. Raises InvalidRequest; NotCached where that is so, and a provider must not be asked either.
    """
    ttl_s = ttl_of(call.head.index.get(b"x-edge-cache-ttl"))
    directives = directives_of(call.head.headers) if b"cache-control" in call.head.index else NONE
    only = b"only-if-cached" in directives
    if b"no-store" in directives or body is None or not allows(call.head.route.api, mode, body):
        if only:
            raise NotCached
        return None
    plan = Plan(b"no-cache" not in directives, ttl_s != 0, only, ttl_s)
    choices, prompts = body.get("n"), body.get("prompt")
    if isinstance(choices, int) and choices > 1:
        plan.choices = choices
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        plan.choices *= len(prompts)  # texts, or lists of tokens; a list of tokens is one prompt
    return plan


def allows(api: str, mode: CacheMode, body: dict[str, Any]) -> bool:
    """Whether a request of this API, with this body, has an answer that can stand for the next one's."""
    if mode == "off" or api not in CACHEABLE or depends_on_state(body):
        return False
    # What is stored at the provider has an id that must not be given out twice; responses are, unless told otherwise.
    if body.get("store") is True or (api == "responses" and body.get("store") is not False):
        return False
    if mode == "all" or api in DETERMINISTIC:
        return True
    temperature = body.get("temperature")
    return body.get("seed") is not None or (
        temperature is not None and not isinstance(temperature, bool) and temperature == 0
    )


def directives_of(headers: Headers) -> frozenset[bytes]:
    """The directives of all Cache-Control fields (RFC 9111, section 5.2), without their arguments."""
    values = (value for name, value in headers if name == b"cache-control")
    return frozenset(part.partition(b"=")[0].strip().lower() for value in values for part in value.split(b","))


def ttl_of(value: bytes | None) -> int | None:
    """Seconds for which the client lets an answer be kept, from ``x-edge-cache-ttl``. Raises InvalidRequest."""
    if value is None:
        return None
    if not value.isdigit() or len(value) > 9 or int(value) > MAX_TTL_S:
        raise InvalidRequest(f"The header 'x-edge-cache-ttl' must be a whole number of seconds up to {MAX_TTL_S}.")
    return int(value)
