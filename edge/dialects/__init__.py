"""The providers' API formats: how errors look, what a stream means, where usage stands."""

from __future__ import annotations

from edge.dialects.stream import Stream

__all__ = ["Stream"]
