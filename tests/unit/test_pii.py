"""What is put out of a request's body, and what is left alone."""

from __future__ import annotations

import gc
import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import config
from edge.guard.leaves import PIECE
from edge.guard.pii import redact, redact_now
from edge.guard.policy import Policy, mode_for
from edge.slices import Work
from tests.stalls import slowness

EMAIL, CARD, PHONE, IP = "alice.smith@example.com", "4111 1111 1111 1111", "+1 415 555 0100", "203.0.113.7"
KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


def policy(mode="mask", **more):
    return Policy(mode, config.Pii(**more))


def masked(body, **more):
    """A body that is written as it stands or as JSON, and what becomes of it, decoded."""
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    return msgspec.json.decode(redact_now(policy(**more), written).body)


def messages(content, **more):
    return {"model": "m", "messages": [{"role": "user", "content": content, **more}]}


TEXTS = {
    "chat content": messages(f"I am {EMAIL}."),
    "a part": messages([{"type": "text", "text": f"I am {EMAIL}."}]),
    "a system message": {"messages": [{"role": "system", "content": EMAIL}]},
    "anthropic's system": {"system": EMAIL},
    "anthropic's system in blocks": {"system": [{"type": "text", "text": EMAIL, "cache_control": {"type": "ephemeral"}}]},
    "a name": messages("hi", name=EMAIL),
    "a tool's description": {"tools": [{"type": "function", "function": {"name": "f", "description": EMAIL}}]},
    "a parameter's description": {
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"description": EMAIL}}}}]
    },
    "an enum in a schema": {"response_format": {"json_schema": {"schema": {"enum": [EMAIL]}}}},
    "arguments": messages(None, tool_calls=[{"id": "1", "function": {"name": "f", "arguments": json.dumps({"to": EMAIL})}}]),
    "arguments that are no JSON": messages(None, tool_calls=[{"function": {"name": "f", "arguments": '{"to": "' + EMAIL}}]),
    "an old function's arguments": messages(None, function_call={"name": "f", "arguments": json.dumps({"to": EMAIL})}),
    "a tool's input": messages([{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"id": EMAIL, "b": [EMAIL]}}]),
    "a key in a tool's input": messages([{"type": "tool_use", "name": "f", "input": {EMAIL: 1}}]),
    "a tool's result": messages([{"type": "tool_result", "tool_use_id": "toolu_1", "content": EMAIL}]),
    "a tool's result in blocks": messages([{"type": "tool_result", "content": [{"type": "text", "text": EMAIL}]}]),
    "a document as text": messages([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": EMAIL}}]),
    "a document's title": messages([{"type": "document", "title": EMAIL, "source": {"type": "url", "url": "https://x"}}]),
    "a document of blocks": messages([{"type": "document", "source": {"type": "content", "content": EMAIL}}]),
    "responses' input": {"input": f"I am {EMAIL}"},
    "responses' items": {"input": [{"role": "user", "content": [{"type": "input_text", "text": EMAIL}]}]},
    "responses' instructions": {"instructions": EMAIL, "input": "hi"},
    "responses' arguments": {"input": [{"type": "function_call", "call_id": "c", "arguments": json.dumps({"id": EMAIL})}]},
    "responses' output": {"input": [{"type": "function_call_output", "call_id": "c", "output": EMAIL}]},
    "responses' tool's own input": {"input": [{"type": "custom_tool_call", "call_id": "c", "input": EMAIL}]},
    "a prompt's variables": {"prompt": {"id": "pmpt_1", "variables": {"id": EMAIL}}},
    "embeddings": {"input": ["a", EMAIL]},
    "a prompt": {"prompt": [EMAIL]},
    "a suffix": {"prompt": "a", "suffix": EMAIL},
    "a stop": {"stop": [EMAIL]},
    "a prediction": {"prediction": {"type": "content", "content": EMAIL}},
    "metadata": {"metadata": {"user_id": EMAIL}},
    "a user": {"user": EMAIL},
    "what nobody has heard of": {"brand_new": {"deep": [[{"er": EMAIL}]]}},
    "a data that is no base64": messages([{"type": "image", "source": {"type": "base64", "data": EMAIL}}]),
    "a thinking that is none": messages([{"type": "text", "thinking": EMAIL}]),
    "a url": messages([{"type": "image_url", "image_url": {"url": f"https://x/?to={EMAIL}"}}]),
}  # fmt: skip


@pytest.mark.parametrize("escape", [False, True], ids=["plain", "escaped"])
@pytest.mark.parametrize("where", TEXTS)
def test_every_text_is_looked_at(where, escape):
    written = json.dumps(TEXTS[where])
    if escape:
        written = written.replace(EMAIL, EMAIL.replace("@", "\\u0040")).replace('\\"to', "\\u0022to")
    made = redact_now(policy(), written.encode())
    expected = json.dumps(TEXTS[where]).replace(EMAIL, "[EMAIL]")
    assert msgspec.json.decode(made.body) == json.loads(expected)
    assert set(made.told.split(",")) <= {"email=1", "email=2"}


B64 = "iVBORw0KGgo4111111111111111/4111111111111111+aa" * 8

LEFT_ALONE = {
    "ids": messages([{"type": "tool_result", "tool_use_id": "toolu_4111111111111111", "content": "x"}]),
    "an item's id": {"previous_response_id": CARD, "input": [{"id": "rs_ " + CARD, "type": "item_reference"}]},
    "a signed thinking": messages([{"type": "thinking", "thinking": EMAIL, "signature": "EqQB" + "4111111111111111"}]),
    "a thinking whose type is said last": messages([{"thinking": EMAIL, "signature": "Eq==", "type": "thinking"}]),
    "a redacted thinking": messages([{"type": "redacted_thinking", "data": "4111111111111111"}]),
    "reasoning": {"input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "4111111111111111"}]},
    "a picture": messages([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": B64}}]),
    "a data url": messages([{"type": "image_url", "image_url": {"url": "data:image/png;base64," + B64}}]),
    "responses' picture": {"input": [{"content": [{"type": "input_image", "image_url": "data:image/png;base64," + B64}]}]},
    "a sound": messages([{"type": "input_audio", "input_audio": {"data": "4111111111111111" * 16, "format": "wav"}}]),
    "a file": messages([{"type": "file", "file": {"filename": "a.pdf", "file_data": "4111111111111111" * 16}}]),
    "a picture that was made": {"input": [{"type": "image_generation_call", "id": "ig", "result": B64}]},
    "a model": {"model": "4111111111111111"},
    "credentials of a provider's tool": {"tools": [{"type": "mcp", "headers": {"Authorization": f"Bearer {KEY}"}}]},
    "numbers": {"seed": 4111111111111111, "messages": []},
    "a schema's numbers": {"tools": [{"input_schema": {"maximum": 4111111111111111}}]},
}  # fmt: skip


@pytest.mark.parametrize("what", LEFT_ALONE)
def test_what_is_no_text_is_left_alone(what):
    body = json.dumps(LEFT_ALONE[what]).encode()
    made = redact_now(policy(), body)
    assert made.body is body
    assert made.told == ""
    # Also where something else has been found.
    more = {**LEFT_ALONE[what], "instructions": EMAIL}
    assert masked(more) == {**LEFT_ALONE[what], "instructions": "[EMAIL]"}


def test_each_kind_has_its_name_and_is_counted():
    text = f"{EMAIL} {PHONE} 219-09-9999 {CARD} DE89370400440532013000 {IP} {KEY} and bob@example.org"
    made = redact_now(policy(), json.dumps(messages(text)).encode())
    said = "[EMAIL] [PHONE] [SSN] [CARD] [IBAN] [IP] [SECRET] and [EMAIL]"
    assert msgspec.json.decode(made.body) == messages(said)
    assert made.told == "email=2,phone=1,ssn=1,card=1,iban=1,ip=1,secret=1"


def test_all_other_bytes_are_the_clients():
    body = (
        b' {"b" : 1e400, "a":"\\u00e9\\/\\ud83d\\ude00 caf\xc3\xa9","n": 1.10 ,\r\n"m":"x %s y","z":-0}'
        % EMAIL.encode()
    )
    assert redact_now(policy(), body).body == body.replace(EMAIL.encode(), b"[EMAIL]")


def test_numbers_and_keys_of_a_tools_arguments():
    given_ = {"card": 4111111111111111, "at": 1700000000, EMAIL: 1, "bob@example.org": [2, 0.5], "ok": True}
    expected = {"card": "[CARD]", "at": 1700000000, "[EMAIL]": 1, "[EMAIL] 2": [2, 0.5], "ok": True}
    asked = messages([{"type": "tool_use", "name": "f", "input": given_}])
    assert masked(asked) == messages([{"type": "tool_use", "name": "f", "input": expected}])
    called = messages(None, tool_calls=[{"function": {"arguments": json.dumps(given_)}}])
    made = masked(called)["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(made) == expected


def test_a_key_that_is_written_with_escapes_is_the_same_key():
    body = b'{"messages":[{"content":[{"inp\\u0075t":{"id":"%s"},"t\\u0079pe":"tool_use"}]}]}' % EMAIL.encode()
    assert masked(body)["messages"][0]["content"][0]["input"] == {"id": "[EMAIL]"}


def test_only_the_kinds_of_the_configuration():
    assert masked(messages(f"{EMAIL} {IP}"), kinds=["ip"]) == messages(f"{EMAIL} [IP]")


@pytest.mark.parametrize("written", ["4111-1111-1111-1111", CARD, "4111111111111111"])
def test_an_allowed_value_stays_however_it_is_written(written):
    text = f"{written} ALICE.smith@example.com bob@example.org"
    made = redact_now(policy(allow=[EMAIL, CARD]), json.dumps(messages(text)).encode())
    assert msgspec.json.decode(made.body) == messages(text.replace("bob@example.org", "[EMAIL]"))
    assert made.told == "email=1"


def test_what_is_allowed_alone_leaves_the_body_as_it_is():
    body = json.dumps(messages(EMAIL)).encode()
    assert redact_now(policy(allow=[EMAIL]), body).body is body


def test_detecting_changes_nothing_and_counts():
    body = json.dumps(messages(EMAIL)).encode()
    made = redact_now(policy("detect"), body)
    assert (made.body, made.told, made.refusal()) == (body, "email=1", None)


def test_blocking_says_what_kinds_and_no_values():
    made = redact_now(policy("block"), json.dumps(messages(EMAIL)).encode())
    refusal = made.refusal()
    assert refusal is not None
    assert "email=1" in refusal.message
    assert EMAIL not in refusal.message
    assert redact_now(policy("block"), b'{"input":"hi"}').refusal() is None


@pytest.mark.parametrize("before", [PIECE - 40, PIECE - 10, PIECE - 1, PIECE, 3 * PIECE + 7])
@pytest.mark.parametrize("filler", ["a ", "\n", "é ", "\U0001f600 ", "\\ "])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_stands_where_a_long_string_is_cut_is_found(before, filler, ascii_only):
    size = len(json.dumps(filler, ensure_ascii=ascii_only).encode()) - 2
    text = filler * (before // size) + EMAIL + " " + filler * 5000 + KEY
    written = json.dumps(messages(text), ensure_ascii=ascii_only).encode()
    assert masked(written) == messages(text.replace(EMAIL, "[EMAIL]").replace(KEY, "[SECRET]"))


def test_a_secret_that_is_longer_than_is_held_back_is_one():
    token = "Bearer " + "aB3" * PIECE
    made = redact_now(policy(), json.dumps(messages(f"it is {token} .")).encode())
    assert made.told == "secret=1"
    assert token[-40:] not in made.body.decode()


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        (("off",), "off"),
        (("mask", None), "mask"),
        (("mask", "off"), "off"),
        (("off", "detect", "block", "mask"), "block"),
        (("block", "detect", "off"), "detect"),
    ],
)
def test_the_strictest_of_key_and_models_holds(modes, expected):
    assert mode_for(*modes) == expected


def test_another_policy_has_another_version():
    told = [policy(), policy("detect"), policy(kinds=["ip"]), policy(allow=["x@example.com"])]
    assert len({each.version for each in told}) == len(told)
    assert policy().version == policy().version


SECRETS = st.sampled_from([EMAIL, CARD, IP, KEY])
WORDS = st.text('é"\\ {}[],:/\n\t\U0001f600\x7f', max_size=12)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 99), st.builds(lambda a, b, c: f"{a} \n{b}\n{c}", WORDS, SECRETS, WORDS)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abct\\\"é\n", max_size=3), inner, max_size=3)),
    max_leaves=8,
)  # fmt: skip


@given(value=VALUES, ascii_only=st.booleans())
def test_nothing_that_was_put_in_gets_through(value, ascii_only):
    for body in (
        {"messages": [value]},
        {"x": {"arguments": json.dumps(value, ensure_ascii=ascii_only)}},
        {"input": {"k": value}},
    ):
        made = redact_now(policy(), json.dumps(body, ensure_ascii=ascii_only).encode())
        text = json.dumps(msgspec.json.decode(made.body))
        assert not any(secret in text for secret in (EMAIL, CARD, IP, KEY))
        assert made.told == redact_now(policy("detect"), json.dumps(body).encode()).told


@pytest.mark.parametrize("text", [f"\n{CARD}", f'a "{EMAIL}"\t{CARD}\n{IP}', f"\u00e9 {EMAIL}\n"])
def test_json_in_a_text_stays_json(text):
    result = json.dumps({"rows": [{"note": text, "card": 4111111111111111}]}, indent=1)
    made = masked(messages([{"type": "tool_result", "content": result}]))["messages"][0]["content"][0]["content"]
    said = text.replace(EMAIL, "[EMAIL]").replace(CARD, "[CARD]").replace(IP, "[IP]")
    assert json.loads(made) == {"rows": [{"note": said, "card": "[CARD]"}]}


def test_what_follows_a_backslash_in_code_is_found():
    assert masked(messages(f'print("\\n{CARD}")')) == messages('print("\\n[CARD]")')


def test_a_large_body_of_small_values_is_looked_through_in_short_steps():
    body = json.dumps({"input": [list(range(2000))] * 50, "messages": [EMAIL] * 2000}).encode()
    steps = 0
    work = redact(policy(), body)
    try:
        while True:
            next(work)
            steps += 1
    except StopIteration as end:
        assert end.value.told == "email=2000"
    assert steps > 200


@pytest.mark.parametrize(
    "line",
    ["4111-1111-1111-1111", "219-09-9999", "+14155552671", "GB33BUKB20201555555555", KEY, f"OPENAI_API_KEY={KEY}"],
)
def test_a_list_of_values_is_no_base64(line):
    made = redact_now(policy(), json.dumps(messages("\n".join([line] * 40))).encode())
    assert line.encode() not in made.body


@pytest.mark.parametrize("line", ["A4+/" * 16, "Ab9_" * 19])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_base64_is_left_alone(line, ending):
    body = json.dumps(messages(ending.join([line] * 20) + "==" + ending)).encode()
    assert redact_now(policy(), body).body == body


def test_keys_that_become_one_name_are_numbered():
    keys = {f"user{number}@example.com": number for number in range(300)}
    found = masked(messages([{"type": "tool_use", "name": "f", "input": keys}]))
    given = found["messages"][0]["content"][0]["input"]
    assert len(given) == 300
    assert list(given)[:3] == ["[EMAIL]", "[EMAIL] 2", "[EMAIL] 3"]


@pytest.mark.parametrize("key", ["data", "file_data", "b64_json", "result"])
def test_a_short_value_is_no_file_whatever_its_key(key):
    written = json.dumps(messages([{"type": "tool_use", "name": "f", "input": {key: "4111111111111111"}}])).encode()
    assert b"4111111111111111" not in redact_now(policy(), written).body


SSN, BARE_PHONE = "536459872", "6505550123"
KEYED = [
    ({"ssn": SSN}, {"ssn": "[SSN]"}),
    ({"ssn": int(SSN)}, {"ssn": "[SSN]"}),
    ({"socialSecurity": [SSN, 1, SSN]}, {"socialSecurity": ["[SSN]", 1, "[SSN]"]}),
    ({"ssn": {"a": "x"}, "b": SSN}, {"ssn": {"a": "x"}, "b": SSN}),
    ({"note": "his ssn", "b": SSN}, {"note": "his ssn", "b": SSN}),
    ({"phone": "x", "at": [SSN]}, {"phone": "x", "at": [SSN]}),
    ({"phone_number": BARE_PHONE}, {"phone_number": "[PHONE]"}),
    ({"phone": int(BARE_PHONE)}, {"phone": "[PHONE]"}),
    ({"order": "4111111111111111"}, {"order": "4111111111111111"}),
    ({"order": 1, "x": "4111111111111111"}, {"order": 1, "x": "[CARD]"}),
    ({"version": "10.1.2.3"}, {"version": "10.1.2.3"}),
    ({"ssn": f"caf\u00e9 \\u {SSN}"}, {"ssn": "caf\u00e9 \\u [SSN]"}),
    ({"ssn": "x " * PIECE + SSN, "x": "y " * PIECE + SSN}, {"ssn": "x " * PIECE + SSN, "x": "y " * PIECE + SSN}),
    ({"ssn": SSN + " x" * PIECE}, {"ssn": "[SSN]" + " x" * PIECE}),
]


@pytest.mark.parametrize(("given_", "expected"), KEYED)
def test_a_values_own_key_says_what_it_is_and_nothing_else_does(given_, expected):
    for ascii_only in (True, False):
        arguments = json.dumps(given_, ensure_ascii=ascii_only)
        called = messages(None, tool_calls=[{"function": {"name": "f", "arguments": arguments}}])
        assert json.loads(masked(called)["messages"][0]["tool_calls"][0]["function"]["arguments"]) == expected
        used = messages([{"type": "tool_use", "name": "f", "input": given_}])
        assert masked(used) == messages([{"type": "tool_use", "name": "f", "input": expected}])
        result = messages([{"type": "tool_result", "content": arguments}])
        assert json.loads(masked(result)["messages"][0]["content"][0]["content"]) == expected


@pytest.mark.parametrize("key", ["text", "message", "answer"])
def test_the_apis_own_keys_say_nothing_of_a_number(key):
    for body in (
        messages([{"type": "text", key: BARE_PHONE}]),
        messages([{"type": "tool_use", "name": "f", "input": {key: BARE_PHONE}}]),
        {"phone": BARE_PHONE},
    ):
        assert masked(body) == body


LARGE_TEXT = "words and more \\ of them. " * 12_000


@pytest.mark.parametrize("hidden", [f"\\n{CARD}", f"C:\\{CARD}", f"\\t{EMAIL}", f'"{EMAIL}"', f"\\/{IP}"])
def test_what_escapes_hide_in_a_text_of_a_megabyte_is_found(hidden):
    text = f"{LARGE_TEXT}{hidden} {LARGE_TEXT}"
    said = hidden.replace(CARD, "[CARD]").replace(EMAIL, "[EMAIL]").replace(IP, "[IP]")
    assert masked(messages(text)) == messages(text.replace(hidden, said))


@pytest.mark.slow
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_in_a_string_of_megabytes_is_json_afterwards(ascii_only):
    rows = [{"ssn": int(SSN), "note": f"\n{EMAIL} \u00e9 \U0001f600", "n": number} for number in range(20_000)]
    arguments = json.dumps({"rows": rows}, ensure_ascii=ascii_only)
    called = messages(None, tool_calls=[{"function": {"name": "f", "arguments": arguments}}])
    made = masked(json.dumps(called, ensure_ascii=ascii_only).encode())
    told = json.loads(made["messages"][0]["tool_calls"][0]["function"]["arguments"])["rows"]
    assert told == [{**row, "ssn": "[SSN]", "note": row["note"].replace(EMAIL, "[EMAIL]")} for row in rows]


@pytest.mark.parametrize(
    "arguments", ['{"a": "\\ud800"}', '{"a": "x', "{}}", '1,"a":2', "{" * 300, '{"a":\\u0031}', "\\ud83d"]
)
def test_arguments_that_are_no_json_are_a_text(arguments):
    text = f"{arguments} {EMAIL} {'x ' * PIECE}"
    called = messages(None, tool_calls=[{"function": {"arguments": text}}])
    expected = messages(None, tool_calls=[{"function": {"arguments": text.replace(EMAIL, "[EMAIL]")}}])
    assert masked(called) == expected


HEAVY = {
    "findings": {"input": "a@b.co " * 12_000},
    "findings in short strings": {"input": ["a@b.co"] * 12_000},
    "findings that are keys": messages([{"type": "tool_use", "input": {f"u{n}@b.co": n for n in range(12_000)}}]),
    "escapes": {"input": "\\\u0001\\\\n" * 12_000},
    "escapes in short strings": {"input": ["\\\u0001"] * 12_000},
    "arguments": messages(None, tool_calls=[{"function": {"arguments": json.dumps({"a": ["a@b.co", 1] * 12_000})}}]),
    "base64": messages([{"type": "image", "source": {"type": "base64", "data": "A4+/" * 500_000}}]),
    "strings that are sealed": {"input": [{"signature": "A4+/"}] * 12_000},
    "strings that are judged last": {"input": [{"data": "a@b.co", "x": [{"result": "b@c.co"}] * 20_000}]},
    "one long text": {"input": "words 12 " * 100_000},
    "one long text of digits": {"input": "4111 1111 1111 1112 " * 10_000},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", HEAVY)
@pytest.mark.parametrize("mode", ["mask", "pseudonymize"])
def test_no_step_takes_long(what, mode):
    """In time of this thread. The machine may be busy, which costs this thread time too: one run of three shows it."""
    body = json.dumps(HEAVY[what]).encode()
    for _ in range(3):
        longest, bound = longest_step(Work(redact(policy(mode), body))), 0.01 * slowness()
        print(f"{what}, {mode}, {len(body)} bytes: the longest step took {longest * 1000:.1f} ms")
        if longest <= bound:
            return
    pytest.fail(f"in three runs a step took more than {bound * 1000:.1f} ms, in the last {longest * 1000:.1f}")


def longest_step(work: Work) -> float:
    """In seconds of this thread."""
    longest, ended = 0.0, False
    gc.disable()  # which goes through all that the tests have left
    try:
        while not ended:
            begun = time.thread_time()
            ended = work.step()
            longest = max(longest, time.thread_time() - begun)
    finally:
        gc.enable()
    assert work.step()
    return longest


NUMBERS = st.sampled_from([SSN, BARE_PHONE, "4111111111111111", "10.1.2.3", "536-45-9872", "0123456789", "4155550100"])
NAMES = st.sampled_from(
    ["ssn", "phone", "order", "id", "version", "x", "call me", "input", "arguments", "data", "type"]
)
ROWS = st.recursive(
    st.one_of(NUMBERS, NUMBERS.filter(lambda n: n.isdigit() and n[0] != "0").map(int), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=10,
)


@given(value=ROWS, indent=st.sampled_from([None, 1]))
def test_a_body_in_which_there_may_be_nothing_has_nothing(value, indent):
    body = json.dumps({"input": value}, indent=indent).encode()
    longer = json.dumps({"input": value, "z": "x" * PIECE}, indent=indent).encode()  # which is never passed over
    assert redact_now(policy(), body).told == redact_now(policy(), longer).told


@pytest.mark.parametrize("before", ["", "x " * PIECE])
def test_two_that_adjoin_are_two(before):
    text = f"{before}{EMAIL}+{EMAIL} and more"
    made = redact_now(policy(), json.dumps(messages(text)).encode())
    assert msgspec.json.decode(made.body) == messages(f"{before}[EMAIL][EMAIL] and more")
    assert made.told == "email=2"
