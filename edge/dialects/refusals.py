"""What a request's values are refused for, in the words and with the codes of the API that its client speaks.

A client that knows an API's errors knows ours: programs act by ``code`` and ``param`` of OpenAI's
(``integer_below_min_value``), and by the message of Anthropic's (``temperature: range: 0..1``), whose errors have no
other place. The words are those of the APIs in the autumn of 2026.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

from edge.errors import InvalidValue, MissingParameter
from edge.routes import Dialect

__all__ = [
    "anthropic_array",
    "anthropic_integer",
    "anthropic_messages",
    "anthropic_number",
    "anthropic_role",
    "missing",
    "no_boolean",
    "no_string",
    "openai_array",
    "openai_choice",
    "openai_integer",
    "openai_messages",
    "openai_number",
    "openai_type",
    "refused",
]

MAX_QUOTED = 64
"""Characters of a client's own value that are said again."""
KINDS: tuple[tuple[type, str], ...] = (
    *((bool, "a boolean"), (int, "an integer"), (Decimal, "a decimal number"), (float, "a decimal number")),
    *((str, "a string"), (list, "an array"), (type(None), "null")),
)
"""JSON's types as OpenAI calls them."""
SHORT = Context(prec=6)


def refused(message: str, param: str, code: str = "") -> InvalidValue:
    """The error, to be raised. `code` is what OpenAI's clients see, by default ``invalid_value``."""
    return InvalidValue(message, param=param, code=code)


# OpenAI's.


def openai_type(name: str, expected: str, value: Any) -> InvalidValue:
    """The error for a value that is not `expected`: "an integer"."""
    return refused(
        f"Invalid type for '{name}': expected {expected}, but got {_kind(value)} instead.", name, "invalid_type"
    )


def openai_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most`. Raises InvalidValue."""
    number = whole(value)
    if number is None:
        raise openai_type(name, "an integer", value)
    _in_range(name, "integer", number, least, most)
    return number


def openai_number(name: str, value: Any, least: int, most: int) -> int | Decimal:
    """A number from `least` to `most`, as it was spelled. Raises InvalidValue."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise openai_type(name, "a decimal", value)
    _in_range(name, "decimal", value, least, most)
    return value


def openai_array(name: str, value: Any, of: str = "an array of objects") -> list[Any]:
    """Raises InvalidValue."""
    if not isinstance(value, list):
        raise openai_type(name, of, value)
    return value


def openai_messages(value: Any) -> list[Any]:
    """A request's messages, of which there has to be one. Raises InvalidValue."""
    if value is None:
        raise missing("messages", "openai")
    if not openai_array("messages", value):
        message = "empty array. Expected an array with minimum length 1, but got an empty array instead."
        raise refused(f"Invalid 'messages': {message}", "messages", "empty_array")
    return openai_array("messages", value)


def openai_choice(name: str, value: Any, words: tuple[str, ...]) -> str:
    """One of some words. Raises InvalidValue."""
    if isinstance(value, str) and value in words:
        return value
    supported = ", ".join(f"'{word}'" for word in words[:-1]) + f", and '{words[-1]}'"
    if not isinstance(value, str):
        raise openai_type(name, f"one of {supported.replace(', and', ', or')}", value)
    raise refused(f"Invalid value: '{value[:MAX_QUOTED]}'. Supported values are: {supported}.", name, "invalid_value")


def _in_range(name: str, kind: str, value: int | Decimal, least: int, most: int | None) -> None:
    low, high = value < least, most is not None and value > most
    if low or high:
        breach, bound, code = (
            ("below minimum", f">= {least}", "below_min") if low else ("above maximum", f"<= {most}", "above_max")
        )
        message = f"Invalid '{name}': {kind} {breach} value. Expected a value {bound}, but got {quoted(value)} instead."
        raise refused(message, name, f"{kind}_{code}_value")


def _kind(value: Any) -> str:
    return next((said for kind, said in KINDS if isinstance(value, kind)), "an object")


# Anthropic's.


def anthropic_integer(name: str, value: Any, least: int | None = None) -> int:
    """A whole number of at least `least`. Raises InvalidValue."""
    number = whole(value)
    if number is None:
        raise refused(f"{name}: Input should be a valid integer", name)
    if least is not None and number < least:
        raise refused(f"{name}: must be greater than or equal to {least}", name)
    return number


def anthropic_number(name: str, value: Any) -> int | Decimal:
    """A number from 0 to 1, as it was spelled. Raises InvalidValue."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise refused(f"{name}: Input should be a valid number", name)
    if value < 0 or value > 1:
        raise refused(f"{name}: range: 0..1", name)
    return value


def anthropic_array(name: str, value: Any, most: int | None = None) -> list[Any]:
    """Raises InvalidValue."""
    if not isinstance(value, list):
        raise refused(f"{name}: Input should be a valid array", name)
    if most is not None and len(value) > most:
        raise refused(f"{name}: List should have at most {most} items after validation, not {len(value)}", name)
    return value


def anthropic_messages(value: Any) -> list[Any]:
    """A request's messages, of which there has to be one. Raises InvalidValue."""
    if value is None:
        raise missing("messages", "anthropic")
    if not anthropic_array("messages", value):
        raise refused("messages: at least one message is required", "messages")
    return anthropic_array("messages", value)


def anthropic_role(message: Any, index: int) -> InvalidValue:
    """The error for a message without a role that there is."""
    at = f"messages.{index}"
    if not isinstance(message, dict):
        return refused(f"{at}: Input should be an object", at)
    role = message.get("role")
    if role is None:
        return refused(f"{at}.role: Field required", f"{at}.role", "missing_required_parameter")
    allowed = 'Allowed roles are "user" or "assistant"'
    return refused(f'messages: Unexpected role "{str(role)[:MAX_QUOTED]}". {allowed}', f"{at}.role")


# Either's, for what is checked before it is known who will answer.


def missing(name: str, dialect: Dialect) -> MissingParameter:
    """The error for a parameter that has to be there."""
    if dialect == "anthropic":
        return MissingParameter(f"{name}: Field required", param=name)
    return MissingParameter(f"Missing required parameter: '{name}'.", param=name)


def no_string(name: str, value: Any, dialect: Dialect) -> InvalidValue:
    """The error for what is no string."""
    if dialect == "anthropic":
        return refused(f"{name}: Input should be a valid string", name)
    return openai_type(name, "a string", value)


def no_boolean(name: str, value: Any, dialect: Dialect) -> InvalidValue:
    """The error for what is neither true nor false."""
    if dialect == "anthropic":
        return refused(f"{name}: Input should be a valid boolean", name)
    return openai_type(name, "a boolean", value)


def whole(value: Any) -> int | None:
    """A whole number, also where it is spelled ``64.0``; None for anything else."""
    if isinstance(value, Decimal) and abs(value) < 1 << 53 and value == value.to_integral_value():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def quoted(value: int | Decimal) -> str:
    if abs(Decimal(value)) >= 1 << 128:
        value = Decimal(value).normalize(SHORT)
    text = str(value)
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "..."
