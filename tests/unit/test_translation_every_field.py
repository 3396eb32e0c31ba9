"""What becomes of each field, and of each member of each union, that the SDKs' types of requests have."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from edge.dialects.sealed import Seal
from edge.dialects.translators import TRANSLATORS
from edge.errors import EdgeError
from tests.unit.every_field import changed, leaves, objects, place, requests, without
from tests.unit.test_to_responses_recordings import check_responses_request
from tests.unit.translating import check_chat_request, check_messages_request

pytestmark = [pytest.mark.slow, pytest.mark.once]

WAYS = (
    ("chat", "messages", "claude-sonnet-4-5"),
    ("chat", "responses", "gpt-6-astra"),
    ("messages", "chat", "gpt-4o"),
    ("messages", "chat", "gpt-5.6-terra"),
    ("messages", "responses", "gpt-6-astra"),
    ("responses", "chat", "gpt-4o"),
    ("responses", "messages", "claude-sonnet-4-5"),
)
CHECKS = {"messages": check_messages_request, "chat": check_chat_request, "responses": check_responses_request}
SEAL = Seal(b"a secret")
SILENT = {
    # What is so without it.
    r"(.*\.)?(store|background|logprobs|parallel_tool_calls|disable_parallel_tool_use|strict|is_error|async)",
    r"(.*\.)?(eager_input_streaming|truncation|verbosity|function_call|detail|mode|ttl|include_obfuscation)",
    r"reasoning_effort|reasoning\.effort|include\[\]",
    # What says what kind of thing it is, where there is one kind alone.
    r".*<(function|custom|explicit|ephemeral|direct|exec|message|object|json_schema|approximate|local|user)>\.type",
    r".*<(base64|text)>\.media_type|.*<additional_tools>\.role|input\[\]<message>\.type",
    # Names of OpenAI's for what it keeps, and what became of it there.
    r"input\[\](<\w+>)?\.(id|status|name|namespace|max_output_length)|input\[\]<tool_search_output>\.call_id",
    r"input\[\]<shell_call>\.environment<\w+>.*",
    # All tools are sent from the start; counts are told in any case; a summary is where there is a thought.
    r"(.*\.)?(defer_loading|include_usage)|reasoning\.(generate_)?summary|thinking<\w+>\.display",
    # By the table of efforts; the name of a format, which Anthropic's has no place for, and which is strict always.
    r"thinking<enabled>\.budget_tokens|(response_format|text\.format)<json_schema>.*\.(name|strict)",
    r"text\.format<json_schema>\.(name|strict)",
    # Of three places of one picture or file, one is read.
    r".*<(input_file|input_image|file)>\.(file\.)?(file_id|file_url|file_data)",
    # OpenAI's search looks into the web unless it is told not to; a place has one type; of no tools nothing is told.
    r".*<web_search>\.external_web_access|.*<namespace>\.(description|name)|tool_choice<allowed_tools>.*",
}
QUIET = re.compile("|".join(f"({each})" for each in sorted(SILENT)))
OPEN = ("metadata", "logit_bias", "stream_options", "input_schema", "parameters", "schema", "input", "arguments")
"""Objects of any names."""
UNREAD = (
    # Of what stays behind as a whole the kind is named; of a choice and a format the words that there are.
    "citations|caller|cache_control|prompt_cache_breakpoint|annotations|logprobs|tool_choice|format|response_format|action"
    "|operation|environment|output_schema|input_examples|function_call|namespace|web_search_options|user_location"
)


def made(way, request):
    opened = TRANSLATORS[way[:2]].opens(way[2], request_id="r1")
    opened.context.seal = SEAL
    translated = opened.at_once(json.dumps(request).encode())
    return translated.body, translated.dropped


def names(dropped):
    return {word for name in dropped for word in name.split(".")}


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_each_is_carried_or_named_or_refused(way, capsys):
    lost, count, refused = Counter(), 0, 0
    known: set[str] = set()
    for particular, request in requests(way[0]):
        count += 1
        try:
            body, dropped = made(way, request)
        except EdgeError as error:
            assert error.status == 400, request
            assert error.param, request
            refused += 1
            continue
        CHECKS[way[1]](body)
        for inner in leaves(request[particular[0]] if len(particular) == 1 else request[particular[0]][particular[1]]):
            path = (*particular, *inner)
            told, words = place(request, path)
            value = request
            for step in path:
                value = value[step]
            if value in (None, [], {}) or (told, repr(value)) in known or words & names(dropped):
                continue
            known.add((told, repr(value)))
            try:
                other = made(way, without(request, path))
            except EdgeError:
                try:
                    other = made(way, changed(request, path))
                except EdgeError:
                    continue
            if other == (body, dropped) and not QUIET.fullmatch(told):
                lost[told] += 1
    assert lost == {}
    with capsys.disabled():
        print(f"\n{way[0]} to {way[1]} for {way[2]}: {count} requests, {refused} of them refused")


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_a_field_that_nobody_knows_is_carried_or_named_wherever_it_stands(way):
    seen, silent = set(), []
    for particular, request in requests(way[0]):
        top = particular[0]
        try:
            _, dropped = made(way, request)
        except EdgeError:
            continue
        found = request[top] if len(particular) == 1 else request[top][particular[1]]
        for inner in objects(found):
            path = (*particular, *inner)
            told, words = place(request, path)
            if told in seen or words & names(dropped) or words & set(OPEN) - {"input"} or re.search(UNREAD, told):
                continue
            seen.add(told)
            more = json.loads(json.dumps(request))
            inside = more
            for step in path:
                inside = inside[step]
            inside["of_tomorrow"] = "zz"
            try:
                body, dropped = made(way, more)
            except EdgeError as error:
                assert error.status == 400
                continue
            if "of_tomorrow" not in names(dropped) and b"of_tomorrow" not in body:
                silent.append(told)
    assert silent == []
    assert len(seen) > 10
