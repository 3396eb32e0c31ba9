"""The one switch between the compiled and the pure build of the hot modules.

All hot modules are compiled, or none is. ``EDGE_PURE_PYTHON=1`` chooses the pure build at run time;
``EDGE_REQUIRE_COMPILED=1`` makes a missing compiled module an ImportError, since a silent fallback in production is an
outage in slow motion. Both set is an error. ``COMPILED`` says which build is in force.

Import hot code from here only: a class of one build is not a class of the other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

__all__ = [
    "ADMITTED",
    "ALL",
    "CALLING_CODES",
    "COMPILED",
    "COUNTER",
    "CROWDED",
    "DOMAIN_BYTES",
    "ENTRY_BYTES",
    "EXHAUSTED",
    "FORMAT_VERSION",
    "GAUGE",
    "GAUGE_MAX",
    "GAUGE_MIN",
    "HISTOGRAM",
    "JOINER",
    "KINDS",
    "LOCAL_BYTES",
    "MAX_KEY",
    "MAX_KEYS",
    "MAX_NUMBER",
    "MAX_VALUES",
    "NEVER",
    "SECRET_PREFIXES",
    "STRATEGIES",
    "TABLE_FULL",
    "UNCOUNTED",
    "AnswerReader",
    "Attempt",
    "Balancer",
    "BodyText",
    "Chunks",
    "Counter",
    "EventPattern",
    "FieldCollector",
    "FieldLimitError",
    "Fields",
    "Head",
    "Histogram",
    "JSONError",
    "JSONScanner",
    "KnownBodies",
    "KnownBody",
    "KnownHead",
    "LFUCache",
    "Limits",
    "Lines",
    "Member",
    "Quantile",
    "RequestHead",
    "ResponseHead",
    "SSEDecoder",
    "SSELimitError",
    "Scanned",
    "Series",
    "Skeleton",
    "SlotWriter",
    "Slots",
    "Spend",
    "StreamScanner",
    "UsualAnswer",
    "UsualMessages",
    "UsualRequest",
    "Walk",
    "Words",
    "add_region",
    "begun_digest",
    "canonical",
    "chunk_marks",
    "digest_after",
    "first_turn_end",
    "has_unicode_escapes",
    "hundredths",
    "index_fields",
    "is_card",
    "is_iban",
    "join_fields",
    "may_have",
    "number_in",
    "openings",
    "request_digest",
    "scan_json",
    "scan_ranges",
    "scan_text",
    "select_fields",
    "series_of",
    "usd",
]

_TRUE = {"1", "true", "yes", "on"}
_pure = os.environ.get("EDGE_PURE_PYTHON", "").lower() in _TRUE
_required = os.environ.get("EDGE_REQUIRE_COMPILED", "").lower() in _TRUE

if _pure and _required:
    raise ImportError("EDGE_PURE_PYTHON and EDGE_REQUIRE_COMPILED contradict each other: set one of them")

COMPILED = False

if not TYPE_CHECKING and not _pure:
    try:
        from edge._fast._answer_c import AnswerReader
        from edge._fast._asked_c import UsualRequest
        from edge._fast._asked_messages_c import UsualMessages
        from edge._fast._balancer_c import STRATEGIES, Balancer
        from edge._fast._body_known_c import KnownBodies, KnownBody
        from edge._fast._body_text_c import BodyText
        from edge._fast._chunks_c import Chunks
        from edge._fast._fields_c import (
            JOINER,
            FieldCollector,
            FieldLimitError,
            Fields,
            index_fields,
            join_fields,
            select_fields,
        )
        from edge._fast._head_c import RequestHead, ResponseHead
        from edge._fast._head_fields_c import Head
        from edge._fast._head_known_c import KnownHead
        from edge._fast._json_c import MAX_KEYS, MAX_VALUES, JSONScanner, scan_json
        from edge._fast._json_scanned_c import Scanned, number_in
        from edge._fast._json_strings_c import MAX_KEY, JSONError
        from edge._fast._json_values_c import MAX_NUMBER
        from edge._fast._key_c import FORMAT_VERSION, begun_digest, canonical, digest_after, request_digest
        from edge._fast._lfu_c import ENTRY_BYTES, LFUCache
        from edge._fast._limits_c import NEVER, TABLE_FULL, Limits
        from edge._fast._line_c import Lines
        from edge._fast._marks_c import chunk_marks
        from edge._fast._measure_c import openings
        from edge._fast._member_c import Attempt, Member
        from edge._fast._numbers_c import hundredths, usd
        from edge._fast._pattern_c import EventPattern
        from edge._fast._quantile_c import Quantile
        from edge._fast._scan_addresses_c import DOMAIN_BYTES, LOCAL_BYTES
        from edge._fast._scan_c import ALL, KINDS, StreamScanner, may_have, scan_ranges, scan_text
        from edge._fast._scan_numbers_c import is_card, is_iban
        from edge._fast._scan_phones_c import CALLING_CODES
        from edge._fast._scan_secrets_c import SECRET_PREFIXES
        from edge._fast._scan_text_c import has_unicode_escapes
        from edge._fast._skeleton_c import Skeleton
        from edge._fast._slots_c import (
            COUNTER,
            GAUGE,
            GAUGE_MAX,
            GAUGE_MIN,
            HISTOGRAM,
            Counter,
            Histogram,
            Series,
            Slots,
            SlotWriter,
            add_region,
            series_of,
        )
        from edge._fast._spend_c import ADMITTED, CROWDED, EXHAUSTED, UNCOUNTED, Spend
        from edge._fast._sse_c import SSEDecoder, SSELimitError
        from edge._fast._turns_c import first_turn_end
        from edge._fast._usual_c import UsualAnswer
        from edge._fast._walk_c import Walk
        from edge._fast._words_c import Words
    except ImportError as error:
        if _required:
            raise ImportError("EDGE_REQUIRE_COMPILED is set, but the compiled modules are not here") from error
    else:
        COMPILED = True

if not COMPILED:
    from edge._fast._answer import AnswerReader
    from edge._fast._asked import UsualRequest
    from edge._fast._asked_messages import UsualMessages
    from edge._fast._balancer import STRATEGIES, Balancer
    from edge._fast._body_known import KnownBodies, KnownBody
    from edge._fast._body_text import BodyText
    from edge._fast._chunks import Chunks
    from edge._fast._fields import (
        JOINER,
        FieldCollector,
        FieldLimitError,
        Fields,
        index_fields,
        join_fields,
        select_fields,
    )
    from edge._fast._head import RequestHead, ResponseHead
    from edge._fast._head_fields import Head
    from edge._fast._head_known import KnownHead
    from edge._fast._json import MAX_KEYS, MAX_VALUES, JSONScanner, scan_json
    from edge._fast._json_scanned import Scanned, number_in
    from edge._fast._json_strings import MAX_KEY, JSONError
    from edge._fast._json_values import MAX_NUMBER
    from edge._fast._key import FORMAT_VERSION, begun_digest, canonical, digest_after, request_digest
    from edge._fast._lfu import ENTRY_BYTES, LFUCache
    from edge._fast._limits import NEVER, TABLE_FULL, Limits
    from edge._fast._line import Lines
    from edge._fast._marks import chunk_marks
    from edge._fast._measure import openings
    from edge._fast._member import Attempt, Member
    from edge._fast._numbers import hundredths, usd
    from edge._fast._pattern import EventPattern
    from edge._fast._quantile import Quantile
    from edge._fast._scan import ALL, KINDS, StreamScanner, may_have, scan_ranges, scan_text
    from edge._fast._scan_addresses import DOMAIN_BYTES, LOCAL_BYTES
    from edge._fast._scan_numbers import is_card, is_iban
    from edge._fast._scan_phones import CALLING_CODES
    from edge._fast._scan_secrets import SECRET_PREFIXES
    from edge._fast._scan_text import has_unicode_escapes
    from edge._fast._skeleton import Skeleton
    from edge._fast._slots import (
        COUNTER,
        GAUGE,
        GAUGE_MAX,
        GAUGE_MIN,
        HISTOGRAM,
        Counter,
        Histogram,
        Series,
        Slots,
        SlotWriter,
        add_region,
        series_of,
    )
    from edge._fast._spend import ADMITTED, CROWDED, EXHAUSTED, UNCOUNTED, Spend
    from edge._fast._sse import SSEDecoder, SSELimitError
    from edge._fast._turns import first_turn_end
    from edge._fast._usual import UsualAnswer
    from edge._fast._walk import Walk
    from edge._fast._words import Words
