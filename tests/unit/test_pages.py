"""How the pages are made."""

from __future__ import annotations

import inspect
import os

from edge.server.pages import _application, _callers


def test_who_has_called_is_told_as_inspect_tells_it_but_for_the_source():
    for ours, theirs in zip(_callers(1), inspect.stack(0), strict=True):
        assert ours == theirs
        assert (ours.frame, ours.lineno, ours.function) == (theirs.frame, theirs.lineno, theirs.function)


def test_what_the_environment_says_to_other_applications_moves_no_page_and_shows_no_error(monkeypatch):
    said = {
        "APP_ROUTE_PREFIX": "/other",
        "APP_FORCE_HTTPS": "1",
        "APP_SIGNAL_HANDLER": "1",
        "APP_SHOW_ERROR_DETAILS": "1",
    }
    for name, value in {**said, "APP_HTTP_SCHEME": "gopher"}.items():
        monkeypatch.setenv(name, value)
    app = _application()
    assert (app.router.prefix, app.env_settings.force_https, app.show_error_details) == ("", False, False)
    assert len(app.on_start) == 0
    assert said.items() <= os.environ.items()
