"""Every refusal and failure a client can see, as one tree.

    EdgeError
      ClientError                 the request is at fault
        InvalidRequest            400 invalid_request
          InvalidJSON             400 invalid_json
          DuplicateKey            400 duplicate_key
          MissingParameter        400 missing_required_parameter
          InvalidValue            400 invalid_value
          UnsupportedParameter    400 unsupported_parameter
        InvalidApiKey             401 invalid_api_key
        ConflictingCredentials    400 conflicting_credentials
        OriginNotAllowed          403 origin_not_allowed
        HostNotAllowed            403 host_not_allowed
        AdminRequired             403 admin_required
        RouteNotAllowed           403 route_not_allowed
        TooManyFailedLogins       429 too_many_failed_logins
        ModelNotFound             404 model_not_found
        UnsupportedRoute          404 unsupported_route (400 where the route exists, but not for this model)
        MethodNotAllowed          405 method_not_allowed
        UpgradeRequired           426 upgrade_required
        InvalidHTTP               400 invalid_http (405 for CONNECT, 501 for a coding)
        RequestTimeout            408 request_timeout
        RequestTooLarge           413 request_too_large
        TargetTooLong             414 target_too_long
        HeaderTooLarge            431 header_too_large
        UnsupportedMediaType      415 unsupported_media_type
        ClientTooSlow             408 client_too_slow (inside streams only)
        NotCached                 504 not_cached
        ClientClosedRequest       499 client_closed_request (never sent: for logs and metrics)
          Superseded              499 superseded (the same)
      PolicyError                 a rule of the operator refuses it
        ModelNotAllowed           403 model_not_allowed
        PiiBlocked                403 pii_blocked
        RateLimited               429 rate_limit_exceeded
        BudgetExceeded            429 insufficient_quota
      ProviderError               the provider failed us
        UpstreamCredentials       503 upstream_credentials_exhausted
        UpstreamUnreachable       502 upstream_unreachable
        UpstreamTimeout           504 timeout
        UpstreamRateLimited       429 upstream_rate_limited
        UpstreamOverloaded        503 upstream_overloaded
        NothingAvailable          503 no_upstream_available
        UpstreamBadResponse       502 upstream_bad_response
        UpstreamStreamBroken      502 upstream_stream_broken
      Overloaded                  503 overloaded
      ShuttingDown                503 shutting_down
      InternalError               500 internal_error

``code`` is what clients see (OpenAI's where OpenAI has one) and the heading in docs/errors.md; ``kind`` is the metric
label and the span's ``error.type``. Each code names one kind. Messages are written for the client: no secrets, no
prompts, no internal addresses.
"""

from __future__ import annotations

import math
from typing import Any, Self

Headers = list[tuple[bytes, bytes]]

SOON = ((b"retry-after", b"1"),)
UNREADABLE = (ValueError, RecursionError)
"""What msgspec raises for bytes that are no JSON: its own errors, and Python's for text that is no UTF-8."""


class EdgeError(Exception):
    """``status`` is the HTTP status, ``param`` the request field at fault, ``headers`` extra response headers,
    ``details`` what Anthropic's clients are told in ``error.details``, by which their SDKs act; ``code`` an API's word.
    """

    status = 500
    code = "internal_error"
    kind = "edge_internal"
    message = "The edge failed to handle this request."
    fixed: tuple[tuple[bytes, bytes], ...] = ()
    """Response headers that every error of the class has, unless it is given others."""
    prepared: dict[str, Any] | None = None

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        status: int | None = None,
        headers: Headers | None = None,
        details: dict[str, Any] | None = None,
        code: str = "",
    ) -> None:
        self.message = message or type(self).message
        super().__init__(self.message)
        self.param = param
        self.details = details
        self.headers: Headers = list(self.fixed) if headers is None else headers
        if status is not None:
            self.status = status
        if code:
            self.code = code

    def for_all(self) -> Self:
        """Itself, which answers all who make the error, is never raised, and keeps its replies in ``prepared``."""
        self.prepared = {}
        return self

    def bare(self) -> Self:
        """Itself, without what led to it, to be kept: the frames of its traceback, and of that of the error it was
        raised for, hold what would hold it, a circle that only the collector could break.
        """
        self.__cause__ = self.__context__ = self.__traceback__ = None
        return self


class ClientError(EdgeError):
    status = 400
    code = "invalid_request"
    kind = "client_invalid"
    message = "The request is not valid."


class InvalidRequest(ClientError):
    pass


class InvalidJSON(InvalidRequest):
    code = "invalid_json"
    message = "The body is not valid JSON."


class DuplicateKey(InvalidRequest):
    code = "duplicate_key"
    message = "The body repeats a key."


class MissingParameter(InvalidRequest):
    code = "missing_required_parameter"
    message = "A required parameter is missing."


class InvalidValue(InvalidRequest):
    code = "invalid_value"
    message = "A parameter has an invalid value."


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"
    message = "The model does not take a parameter."


class InvalidApiKey(ClientError):
    status = 401
    code = "invalid_api_key"
    kind = "client_auth"
    message = "No valid API key was given. Send yours as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."

    def __init__(self) -> None:
        # RFC 9110, section 11.6.1: a 401 carries a challenge. The SDKs read x-should-retry.
        super().__init__(headers=[(b"www-authenticate", b"Bearer"), (b"x-should-retry", b"false")])


class ConflictingCredentials(ClientError):
    code = "conflicting_credentials"
    kind = "client_auth"
    message = "Valid credentials of different owners were given, as keys or as the connection's certificate. Send one."
    fixed = ((b"x-should-retry", b"false"),)


class OriginNotAllowed(ClientError):
    status = 403
    code = "origin_not_allowed"
    kind = "client_auth"
    message = "Without API keys, requests from other web origins are refused."


class HostNotAllowed(ClientError):
    status = 403
    code = "host_not_allowed"
    kind = "client_auth"
    message = "Without API keys, only requests to a loopback host name are answered."


class AdminRequired(ClientError):
    status = 403
    code = "admin_required"
    kind = "client_auth"
    message = "This needs a key with 'admin: true'."


class RouteNotAllowed(ClientError):
    status = 403
    code = "route_not_allowed"
    kind = "client_auth"
    message = "This key may not use this route."


class TooManyFailedLogins(ClientError):  # `wait_s`: the time after which the address may fail again
    status = 429
    code = "too_many_failed_logins"
    kind = "client_auth"
    message = "No valid API key was given, too often from this address. Mend the key before you try again."

    def __init__(self, wait_s: float) -> None:
        super().__init__(headers=[*wait_headers(math.ceil(wait_s * 1000)), (b"x-should-retry", b"false")])


class ModelNotFound(ClientError):
    status = 404
    code = "model_not_found"
    message = "The model does not exist."


class UnsupportedRoute(ClientError):
    status = 404
    code = "unsupported_route"
    message = "This route does not exist."


class MethodNotAllowed(ClientError):
    status = 405
    code = "method_not_allowed"
    message = "This method is not allowed here."

    def __init__(self, allowed: str) -> None:
        super().__init__(f"This route answers {allowed} only.", headers=[(b"allow", allowed.encode())])


class UpgradeRequired(ClientError):
    status = 426
    code = "upgrade_required"
    message = "This route speaks WebSocket: ask for it by 'connection: Upgrade' and 'upgrade: websocket' (RFC 6455)."
    fixed = ((b"upgrade", b"websocket"), (b"x-should-retry", b"false"))


class RequestTooLarge(ClientError):
    status = 413
    code = "request_too_large"
    kind = "client_too_large"
    message = "The body is too large."


class InvalidHTTP(ClientError):
    code = "invalid_http"
    message = "This is not a valid HTTP/1.1 request."


class RequestTimeout(ClientError):
    status = 408
    code = "request_timeout"
    message = "The request did not arrive in time."


class TargetTooLong(ClientError):
    status = 414
    code = "target_too_long"
    kind = "client_too_large"


class HeaderTooLarge(ClientError):
    status = 431
    code = "header_too_large"
    kind = "client_too_large"


class UnsupportedMediaType(ClientError):
    status = 415
    code = "unsupported_media_type"
    message = "The body must be sent as 'content-type: application/json'."


class ClientClosedRequest(ClientError):
    status = 499  # nginx's number for a client that left; it has no other
    code = "client_closed_request"
    kind = "client_cancelled"
    message = "The client left before the answer was complete."


class Superseded(ClientClosedRequest):
    code = "superseded"
    message = "Another upstream was faster."


class ClientTooSlow(ClientError):
    status = 408  # it shares an answer with others, who are megabytes ahead
    code = "client_too_slow"
    kind = "client_cancelled"
    message = "The client is too slow for the answer that it shares with others; ask again."


class NotCached(ClientError):
    """RFC 9111, section 5.2.1.7: what is asked for with only-if-cached and is not stored gets a 504."""

    status = 504
    code = "not_cached"
    message = "There is no stored answer to this request, and it must not be asked for ('only-if-cached')."


class PolicyError(EdgeError):
    status = 403
    code = "model_not_allowed"
    kind = "policy_model_denied"


class ModelNotAllowed(PolicyError):
    message = "This key may not use this model."


class PiiBlocked(PolicyError):
    code = "pii_blocked"
    kind = "policy_pii_blocked"
    message = "The request has personal data or secrets in it, which may not be sent."


class RateLimited(PolicyError):
    """`wait_ns` is the time after which it may be tried again; 0 where no waiting helps."""

    status = 429
    code = "rate_limit_exceeded"
    kind = "policy_rate_limited"
    message = "This key has asked too often."

    def __init__(self, message: str | None = None, *, wait_ns: int = 1_000_000_000) -> None:
        headers = wait_headers(-(-wait_ns // 1_000_000)) if wait_ns else [(b"x-should-retry", b"false")]
        super().__init__(message, headers=headers)


class BudgetExceeded(PolicyError):
    """`wait_s` is the time after which there is money again; clients are not to wait for more than a minute."""

    status = 429
    code = "insufficient_quota"
    kind = "policy_budget"
    message = "This key has spent its budget."

    def __init__(self, message: str | None = None, *, wait_s: int = 1) -> None:
        headers = wait_headers(wait_s * 1000)
        super().__init__(message, headers=headers if wait_s <= 60 else [*headers, (b"x-should-retry", b"false")])


class ProviderError(EdgeError):
    """``refused``: the provider has said that it did not take the request, so that another may be asked even for work
    that providers keep; ``absent``: because it does not have the route at all. ``said`` is what is known of the body of
    its answer: for the log, never for the client. ``ours``: it says nothing of the provider, who was not asked.
    """

    status = 502
    code = "upstream_bad_response"
    kind = "provider_bad_response"
    message = "The provider gave no usable answer."
    refused = False
    absent = False
    ours = False
    said = b""


class UpstreamCredentials(ProviderError):
    """The provider refused our key (its 401, 403), or our account has no money (402, or any status whose body says so):
    for the operator to mend, no client may retry.
    """

    status = 503
    code = "upstream_credentials_exhausted"
    kind = "provider_auth"
    message = "The provider refused the gateway's own credentials. The operator of this gateway has to mend that."
    refused = True

    def __init__(self) -> None:
        super().__init__(headers=[(b"x-should-retry", b"false")])


class UpstreamUnreachable(ProviderError):
    code = "upstream_unreachable"
    kind = "provider_connect"
    message = "The provider could not be reached."


class UpstreamTimeout(ProviderError):
    status = 504
    code = "timeout"
    kind = "provider_timeout"
    message = "The provider did not answer in time."


class UpstreamRateLimited(ProviderError):
    """A provider's 429 said how long to leave it alone, and that is not over: `wait_s` is what is left of it. It is not
    asked.
    """

    status = 429
    code = "upstream_rate_limited"
    kind = "provider_rate_limited"
    message = "The provider's limit for this gateway is used up for the time being."
    refused = True

    def __init__(self, wait_s: float) -> None:
        super().__init__(headers=wait_headers(math.ceil(wait_s * 1000)))


class UpstreamOverloaded(ProviderError):
    """The same after a 503 or a 529."""

    status = 503
    code = "upstream_overloaded"
    kind = "provider_overloaded"
    message = "The provider is overloaded, and has asked not to be asked for the time being."
    refused = True

    def __init__(self, wait_s: float) -> None:
        super().__init__(headers=wait_headers(math.ceil(wait_s * 1000)))


class NothingAvailable(ProviderError):
    status = 503
    code = "no_upstream_available"
    kind = "provider_error"
    message = "No provider that could answer this request is available now; ask again."
    fixed = SOON


class UpstreamBadResponse(ProviderError):
    pass


class UpstreamStreamBroken(ProviderError):
    code = "upstream_stream_broken"
    kind = "provider_stream_broken"
    message = "The provider's answer broke off before it was complete."


class Overloaded(EdgeError):
    status = 503
    code = "overloaded"
    kind = "edge_shed"
    message = "This edge has more requests in flight than it may; ask again."
    fixed = SOON


class ShuttingDown(EdgeError):
    status = 503
    code = "shutting_down"
    kind = "edge_shed"
    message = "This edge is shutting down; ask again."
    fixed = SOON


class InternalError(EdgeError):
    pass


def wait_headers(ms: int) -> Headers:
    """When it is worth asking again, in both forms, rounded up."""
    return [(b"retry-after", b"%d" % -(-ms // 1000)), (b"retry-after-ms", b"%d" % ms)]
