"""What watches a worker from outside: a collector of traces, and a worker process whose log is read."""

import asyncio
import http.server
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """An OTLP/HTTP receiver. Spans as (name, trace, id, parent, attributes, status code)."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        collector = self

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces", path
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [self._plain(span) for span in scope.spans]

    @staticmethod
    def _plain(span: Any) -> dict[str, Any]:
        values = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
        return {
            "name": span.name,
            "trace": span.trace_id.hex(),
            "id": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "status": span.status.code,
            "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            "said": span.status.message,
            **values,
        }

    async def until(self, *names: str) -> list[dict[str, Any]]:
        """The spans, once there is one of each of these names."""
        async with asyncio.timeout(20):
            while not set(names) <= {span["name"] for span in self.spans}:
                await asyncio.sleep(0.05)
        return self.spans

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    receiver = Collector()
    try:
        yield receiver
    finally:
        receiver.close()


class EmptyDocker:
    """A Docker engine that answers and has nothing: no image, no container. Who needs one fails at once."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ol-docker-", dir="/tmp"))
        self.host = f"unix://{self._folder / 'docker.sock'}"
        self._server = socketserver.ThreadingUnixStreamServer(str(self._folder / "docker.sock"), _Nothing)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._folder)


class _Nothing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = re.sub(r"^/v[\d.]+(?=/)", "", self.path).partition("?")[0]
        known = {"/version": {"ApiVersion": "1.44"}, "/_ping": "OK", "/containers/json": [], "/volumes": {}}
        self.send_response(200 if path in known else 404)
        body = json.dumps(known.get(path, {"message": "No such image, and nothing else"})).encode()
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass


class WorkerProcess:
    """A real worker on a database, where Docker has no image: what needs a sandbox fails, plainly."""

    def __init__(self, database: str, folder: Path, **environment: str) -> None:
        self._docker = EmptyDocker()
        self.log = folder / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine", "--product", "openlinear.adapters:product", "--name", "w1"],
                env={
                    **os.environ,
                    "DATABASE_URL": database,
                    "OPENLINEAR_HOME": str(folder),
                    "OPENLINEAR_SECRET_KEY": "fedcba9876543210" * 4,
                    "SANDBOX": "docker",
                    "RUN_ATTEMPTS": "1",
                    # Where the last worker's name is not free yet, its lease has to run out.
                    "WORKER_HEARTBEAT_SECONDS": "1",
                    "WORKER_LEASE_SECONDS": "5",
                    "DOCKER_HOST": self._docker.host,
                    **environment,
                },
                stdout=log,
                stderr=log,
            )

    def lines(self) -> list[dict[str, Any]]:
        """Its log, as LOG_FORMAT=json writes it."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            self._docker.close()
