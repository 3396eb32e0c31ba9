"""A configuration of the vendors that the environment has variables of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge.config import DEFAULT_MODELS
from edge.config.rules import the_base_url
from edge.migration.draft import Account, Draft
from edge.migration.vendors import VENDORS, Vendor

__all__ = ["import_environment"]

OTHER_KEYS = {
    "azure": "AZURE_OPENAI_API_KEY",
    "gemini": "GOOGLE_API_KEY",
    "hosted_vllm": "VLLM_API_KEY",
    "together_ai": "TOGETHER_API_KEY",
}
"""How vendors' own SDKs call the variable of a key, where LiteLLM has another name."""
OTHER_ADDRESSES = {"azure": "AZURE_OPENAI_ENDPOINT"}


def import_environment(environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """The YAML, "" where no vendor's variable is set; and a note for each key that leads nowhere without an address,
    and for each address that leads nowhere.

    Addresses are those that the SDKs and LiteLLM read: ``OPENAI_BASE_URL``, ``OPENAI_API_BASE`` and their like. A
    vendor who has none of their own, and one who needs no key, is there where such a variable is.
    """
    draft = Draft()
    used: set[str] = set()
    lacking: dict[str, str] = {}
    notes: list[str] = []
    seen: set[Vendor] = set()
    for prefix, vendor in VENDORS.items():
        key = _first(environ, _keys(prefix, vendor))
        address = _first(environ, _addresses(prefix))
        base = vendor.address(environ[address].strip()) if address else vendor.base_url
        if (vendor.variable and not key) or not (vendor.variable or address):
            continue
        if vendor in seen and not address:
            continue  # another of its prefixes
        seen.add(vendor)
        if not base:
            lacking.setdefault(key, f"{prefix.upper()}_API_BASE")
            continue
        used.add(key)
        reference = "${" + key + "}" if key else ""
        account = Account(vendor.name or prefix, vendor.dialect, the_base_url(base), reference, vendor.auth)
        if wrong := draft.refusal(account):
            notes.append(f"{address or key}: no provider was written for it, because it would be refused: {wrong}")
            continue
        known = draft.provider(account) in ("openai", "anthropic")
        for pattern in DEFAULT_MODELS[vendor.dialect] if known else ():
            draft.claim(account, pattern)
    notes += [
        f"{key}: no provider was written for it, because {address} is not set"
        for key, address in lacking.items()
        if key not in used
    ]
    if not draft.providers:
        return "", notes
    comment = "Written from the environment's variables. A model is named by its own name, or as PROVIDER/MODEL."
    return draft.yaml(comment), notes


def _first(environ: Mapping[str, str], names: Iterator[str]) -> str:
    """The first of the variables that is set; "" for none."""
    return next((name for name in names if environ.get(name, "").strip()), "")


def _keys(prefix: str, vendor: Vendor) -> Iterator[str]:
    yield vendor.variable or f"{prefix.upper()}_API_KEY"
    if prefix in OTHER_KEYS:
        yield OTHER_KEYS[prefix]


def _addresses(prefix: str) -> Iterator[str]:
    yield f"{prefix.upper()}_BASE_URL"
    yield f"{prefix.upper()}_API_BASE"
    if prefix in OTHER_ADDRESSES:
        yield OTHER_ADDRESSES[prefix]
