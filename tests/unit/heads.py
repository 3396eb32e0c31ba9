"""Heads as they are on the wire: of clients, and of providers with the servers before them."""

from __future__ import annotations

SDK = b"""POST /v1/chat/completions HTTP/1.1
Host: 127.0.0.1:8080
Accept-Encoding: gzip, deflate
Connection: keep-alive
Accept: application/json
Content-Type: application/json
User-Agent: OpenAI/Python 3.57.0
X-Stainless-Lang: python
X-Stainless-Package-Version: 3.57.0
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: CPython
X-Stainless-Runtime-Version: 3.11.7
Authorization: Bearer sk-0123456789abcdef0123456789abcdef
X-Stainless-Async: false
x-stainless-retry-count: 0
x-stainless-read-timeout: 600
Content-Length: 89

"""

REQUESTS = {
    "openai-python": SDK,
    "openai-python streaming, traced": SDK.replace(
        b"Content-Length: 89\n",
        b"Accept: text/event-stream\nx-stainless-helper-method: chat.completions.stream\nContent-Length: 5118\n"
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate: a=b,c=d\n",
    ),
    "anthropic-python": b"""POST /v1/messages HTTP/1.1
Host: localhost:8080
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
Accept: application/json
Content-Type: application/json
User-Agent: Anthropic/Python 2.14.0
X-Stainless-Lang: python
X-Stainless-Package-Version: 2.14.0
X-Stainless-OS: MacOS
X-Stainless-Arch: arm64
X-Stainless-Runtime: CPython
X-Stainless-Runtime-Version: 3.13.1
X-Api-Key: sk-ant-api03-0123456789
X-Stainless-Async: async:asyncio
anthropic-version: 2023-06-01
x-stainless-retry-count: 0
x-stainless-timeout: 600
Content-Length: 118

""",
    "claude code": b"""POST /v1/messages?beta=true HTTP/1.1
Accept: application/json
X-Stainless-Retry-Count: 0
X-Stainless-Timeout: 600
X-Stainless-Lang: js
X-Stainless-Package-Version: 0.70.0
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: node
X-Stainless-Runtime-Version: v24.3.0
anthropic-dangerous-direct-browser-access: true
anthropic-version: 2023-06-01
authorization: Bearer lea_a_0123456789
x-app: cli
User-Agent: claude-cli/2.1.19 (external, cli)
content-type: application/json
anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14
accept-language: *
sec-fetch-mode: cors
accept-encoding: br, gzip, deflate
content-length: 98231
Host: 127.0.0.1:8080
connection: keep-alive

""",
    "curl": b"""POST /v1/chat/completions HTTP/1.1
Host: localhost:8080
User-Agent: curl/8.5.0
Accept: */*
Content-Type: application/json
Authorization: Bearer x
Content-Length: 23

""",
    "curl get": b"GET /v1/models HTTP/1.1\nHost: localhost\nUser-Agent: curl/8.5.0\nAccept: */*\n\n",
    "wrk": b"POST /v1/embeddings HTTP/1.1\nHost: 127.0.0.1\ncontent-type: application/json\nContent-Length: 10\n\n",
    "locust": b"""POST /v1/completions HTTP/1.1
Host: edge.example.com
User-Agent: python-requests/2.32.3
Accept-Encoding: gzip, deflate
Accept: */*
Connection: keep-alive
Content-Type: application/json
Content-Length: 60

""",
    "node's fetch": b"""POST /openai/v1/responses HTTP/1.1
host: edge:8080
connection: keep-alive
content-type: application/json
accept: */*
accept-language: *
sec-fetch-mode: cors
user-agent: node
accept-encoding: gzip, deflate
transfer-encoding: chunked

""",
    "go": b"""POST /v1/chat/completions HTTP/1.1
Host: edge
User-Agent: Go-http-client/1.1
Content-Length: 7
Idempotency-Key: stainless-retry-9f1d
Accept-Encoding: gzip

""",
    "behind nginx": b"""POST /v1/messages HTTP/1.1
Host: edge.example.com
X-Real-IP: 192.0.2.1
X-Forwarded-For: 192.0.2.1, 198.51.100.7
X-Forwarded-Proto: https
X-Request-ID: 6f8c2f7b0d
Content-Length: 2
content-type: application/json

""",
    "preflight": b"OPTIONS /v1/chat/completions HTTP/1.1\nHost: a\nOrigin: http://b\nAccess-Control-Request-Method: POST\n\n",
    "probe": b"HEAD / HTTP/1.1\nHost: [::1]:8080\nUser-Agent: k8s probe \xe2\x82\xac\nEmpty:\nTabbed:\ta\tb \t\n\n",
    "admin": b"DELETE /admin/api/cache HTTP/1.1\nHost: a\n\n",
    "put": b"PUT /x HTTP/1.1\nHost: a\ncontent-length: 0\n\n",
    "patch": b"PATCH /x?y=%20 HTTP/1.1\nHost: a\ncontent-length: 1\n\n",
}

ANSWERS = {
    "openai": b"""HTTP/1.1 200 OK
Date: Tue, 10 Jun 2025 10:00:00 GMT
Content-Type: application/json
Content-Length: 812
Connection: keep-alive
access-control-expose-headers: X-Request-ID
openai-organization: user-x
openai-processing-ms: 212
openai-version: 2020-10-01
x-envoy-upstream-service-time: 216
x-ratelimit-limit-requests: 10000
x-ratelimit-remaining-tokens: 29999
x-request-id: req_0123456789abcdef
strict-transport-security: max-age=31536000; includeSubDomains; preload
cf-cache-status: DYNAMIC
Set-Cookie: __cf_bm=a; path=/; HttpOnly
X-Content-Type-Options: nosniff
Set-Cookie: _cfuvid=b; path=/
Server: cloudflare
CF-RAY: 94d0-FRA
alt-svc: h3=":443"; ma=86400

""",
    "openai stream": b"""HTTP/1.1 200 OK
Content-Type: text/event-stream; charset=utf-8
Transfer-Encoding: chunked
Connection: keep-alive
x-request-id: req_1

""",
    "anthropic": b"""HTTP/1.1 200 OK
Date: Tue, 10 Jun 2025 10:00:00 GMT
Content-Type: application/json
Transfer-Encoding: chunked
Connection: keep-alive
CF-RAY: 94d0-FRA
anthropic-ratelimit-requests-limit: 4000
anthropic-ratelimit-input-tokens-reset: 2025-06-10T10:00:00Z
request-id: req_011CPz
anthropic-organization-id: 0
via: 1.1 google
X-Robots-Tag: none

""",
    "refused": b"""HTTP/1.1 429 Too Many Requests
content-type: application/json
retry-after: 2
retry-after-ms: 1900
x-should-retry: true
content-length: 200

""",
    "uvicorn": b"HTTP/1.1 200 OK\ndate: x\nserver: uvicorn\ncontent-length: 2\ncontent-type: application/json\n\n",
    "nginx error": b"HTTP/1.1 502 Bad Gateway\nServer: nginx\nContent-Type: text/html\nContent-Length: 150\nConnection: close\n\n",
    "no reason": b"HTTP/1.1 200 \ncontent-length: 0\n\n",
    "not even a space": b"HTTP/1.1 500\ncontent-length: 0\n\n",
    "compressed": b"HTTP/1.1 200 OK\nContent-Encoding: gzip\ncontent-length: 20\nKeep-Alive: timeout=5\n\n",
}


def on_the_wire(lines: bytes) -> bytes:
    return lines.replace(b"\n", b"\r\n")
