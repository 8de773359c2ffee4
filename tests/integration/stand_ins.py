"""`openlinear up` with light processes in place of the web server and the engine.

Database, migrations, supervision and signals are the real ones. Run as
`python -m tests.integration.stand_ins up`.
"""

import sys
from collections.abc import Mapping

from openlinear import cli, frontend, processes
from openlinear.settings import Settings

WEB = """
import http.server, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""

ENGINE = """
import os, signal, subprocess, sys, time
subprocess.Popen(["sleep", "1000"])  # a child of its own, which must not stay behind
def leave(number, frame):
    print("asked to end by", signal.Signals(number).name, "with the database", database(), flush=True)
    os._exit(0)
def database():
    import psycopg
    psycopg.connect(os.environ["DATABASE_URL"].replace("+psycopg", "")).close()
    return "up"
signal.signal(signal.SIGINT, leave)
signal.signal(signal.SIGTERM, leave)
print("engine", os.getpid(), flush=True)
while True:
    time.sleep(60)
"""


def _web(settings: Settings, environ: Mapping[str, str]) -> processes.Command:
    code = "raise SystemExit('no pages today')" if environ.get("BROKEN") == "web" else WEB
    return processes.Command((sys.executable, "-c", code, str(settings.api_port)), environ)


def _worker(environ: Mapping[str, str], name: str = "main") -> processes.Command:
    code = "raise SystemExit('no engine today')" if environ.get("BROKEN") == "engine" else ENGINE
    return processes.Command((sys.executable, "-c", code), environ)


def _sandbox(environ: Mapping[str, str]) -> processes.Command:
    return processes.Command((sys.executable, "-c", "print('no Docker engine answers: start one')"), environ)


if __name__ == "__main__":
    processes.web, processes.worker, processes.sandbox = _web, _worker, _sandbox  # type: ignore[assignment]
    frontend.current = lambda: True  # type: ignore[assignment]
    cli.app()
