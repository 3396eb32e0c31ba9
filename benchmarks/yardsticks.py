"""nginx, the yardstick: what a request costs that is only answered, or only forwarded, in C."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.process import CannotStart, Server
from benchmarks.subjects import free_port

__all__ = ["Nginx", "nginx_command", "version"]

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 1m;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  proxy_http_version 1.1; proxy_set_header Connection "";
  upstream provider {{ server {upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location = /canned {{ default_type application/json; return 200 '{body}'; }}
    location / {{ proxy_pass http://provider; }}
  }}
  server {{
    listen 127.0.0.1:{unbuffered} backlog=2048;
    location / {{ proxy_pass http://provider; proxy_buffering off; }}
  }}
}}
"""


def nginx_command(upstream: str, folder: Path) -> tuple[list[str], int, int]:
    """What starts it with its files in `folder`, and its two ports: as `Nginx` says. Raises CannotStart."""
    if shutil.which("nginx") is None:
        raise CannotStart("nginx is needed (Debian: apt-get install nginx)")
    port, unbuffered = free_port(), free_port()
    text = CONFIG.format(
        folder=folder,
        upstream=upstream.removeprefix("http://"),
        port=port,
        unbuffered=unbuffered,
        body="x" * 500,
    )
    (folder / "nginx.conf").write_text(text)
    return ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf", "-p", str(folder)], port, unbuffered


class Nginx(Server):
    """One nginx process in front of `upstream` (a URL).

    At ``url``, ``/canned`` is ``return 200`` and everything else ``proxy_pass``; at ``streams_url`` with
    ``proxy_buffering off``, which streams need and which makes whole answers dearer.
    """

    def __init__(self, upstream: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        command, port, unbuffered = nginx_command(upstream, Path(self._folder.name))
        self.url, self.streams_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{unbuffered}"
        super().__init__(*command, health=f"{self.url}/canned")

    def stop(self) -> None:
        super().stop()
        self._folder.cleanup()


def version() -> str:
    """nginx's version, "" if it is not here."""
    try:
        got = subprocess.run(["nginx", "-v"], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return got.stderr.strip().rpartition("/")[2]
