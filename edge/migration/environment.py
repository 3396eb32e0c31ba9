"""A configuration of the vendors whose keys the environment has."""

from __future__ import annotations

from collections.abc import Mapping

from edge.config import DEFAULT_MODELS
from edge.config.rules import the_base_url
from edge.migration.draft import Account, Draft
from edge.migration.vendors import VENDORS

__all__ = ["import_environment"]


def import_environment(environ: Mapping[str, str]) -> str:
    """The YAML; "" where no vendor's variable is set. ``OPENAI_BASE_URL`` and its like are heeded, as the SDKs do."""
    draft = Draft()
    for prefix, vendor in VENDORS.items():
        base = environ.get(f"{prefix.upper()}_BASE_URL", "").strip() or vendor.base_url
        if not vendor.variable or not environ.get(vendor.variable, "").strip() or not base:
            continue
        base = the_base_url(base)
        if vendor.dialect == "anthropic" and not base.endswith("/v1"):
            base += "/v1"  # Anthropic's SDK has it behind what the variable says
        account = Account(vendor.name or prefix, vendor.dialect, base, "${" + vendor.variable + "}", vendor.auth)
        known = draft.provider(account) in ("openai", "anthropic")
        for pattern in DEFAULT_MODELS[vendor.dialect] if known else ():
            draft.claim(account, pattern)
    if not draft.providers:
        return ""
    return draft.yaml(
        "Made from the variables of the environment. A model is asked for by its name, or as PROVIDER/MODEL."
    )
