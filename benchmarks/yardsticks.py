"""nginx, the yardstick: what a request costs that is only answered, or only forwarded, in C."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.load import SERVER_CORE, Server, pin

__all__ = ["Nginx"]

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 1m;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  upstream provider {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location = /canned {{ default_type application/json; return 200 '{body}'; }}
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


class Nginx(Server):
    """One nginx process: ``/canned`` is ``return 200``, everything else ``proxy_pass`` to `upstream` (a URL)."""

    def __init__(self, upstream: str) -> None:
        if shutil.which("nginx") is None:
            raise SystemExit("nginx is needed (Debian: apt-get install nginx)")
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        host = upstream.removeprefix("http://")
        text = CONFIG.format(folder=folder, upstream=host, port=port, body="x" * 500)
        (folder / "nginx.conf").write_text(text)
        command = ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf", "-p", str(folder)]
        self.process = subprocess.Popen(command, preexec_fn=pin(SERVER_CORE))
        self.url = f"http://127.0.0.1:{port}"
        time.sleep(0.5)

    def stop(self) -> None:
        super().stop()
        self._folder.cleanup()
