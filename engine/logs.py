"""One way to log for every process: which run and whose, as text or as JSON lines, without secrets.

The standard library does all of it: a filter that adds what a context variable knows, and two
formatters. structlog would be a second way to log beside the one that every library here speaks.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from engine.settings import EngineSettings

run_id: ContextVar[str | None] = ContextVar("run_id", default=None)
user_id: ContextVar[str | None] = ContextVar("user_id", default=None)

HIDDEN = "[hidden]"
QUIET = ("httpx", "httpcore", "docker", "urllib3", "dbos", "alembic", "opentelemetry")
"""Libraries of which only warnings are wanted."""
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSPHRASE|API_KEY|PRIVATE_KEY$|_HEADERS$")
_SECRET_LOOKS = (
    re.compile(r"(?<=://)[^\s/@]+(?=@)"),  # a URL's user and password
    re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]{8,}|(?<=\bbasic )[\w+/=]{8,}"),
    re.compile(r"\b(?:gh[pousr]_|github_pat_|olp_|sk-|xox[abp]-)[\w-]{8,}"),
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"),  # a JSON web token
    re.compile(r"(?i)(?<=[?&\s])(?:access_token|api_key|password|secret|token)=[^\s&\"']+"),
)
_ROW = re.compile(r"^(\s*DETAIL: ).*$", re.MULTILINE)
"""PostgreSQL quotes a whole row where it refuses one: titles, prompts, addresses."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_QUERY = re.compile(r"\?[^\s\"]*")


@contextmanager
def run_context(run: str) -> Iterator[None]:
    """Whatever is logged within, by tasks and threads started there too, belongs to this run."""
    token = run_id.set(run)
    try:
        yield
    finally:
        run_id.reset(token)


def setup(process: str, worker: str | None = None) -> None:
    """Log to standard error as LOG_FORMAT says. `process` is `worker` or `web`; `worker` is its name."""
    ours = handler(process, worker)
    root = logging.getLogger()
    root.handlers[:] = [ours]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # DBOS prints by itself unless somebody else does.
    workflows = logging.getLogger("dbos")
    workflows.handlers[:], workflows.propagate = [ours], False


def handler(process: str = "web", worker: str | None = None) -> logging.Handler:
    """What `setup` installs; by itself for uvicorn, which wants its logging as a configuration."""
    form = Json if EngineSettings().log_format == "json" else Text
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(form(process, worker, known_secrets(os.environ)))
    stream.addFilter(_with_context)
    return stream


def known_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets this process was started with, longest first."""
    found = {value for name, value in environ.items() if _SECRET_NAME.search(name)}
    found |= {part.strip() for value in found for part in value.split(",")}
    for name, value in environ.items():
        if name.endswith("_URL") and (password := _password_in(value)):
            found |= {password, unquote(password)}
    return tuple(sorted((one for one in found if len(one) >= 8), key=len, reverse=True))


def _password_in(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None


def scrub(text: str, secrets: tuple[str, ...] = ()) -> str:
    """`text` without the given secrets, and without what looks like one."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for looks in _SECRET_LOOKS:
        text = looks.sub(HIDDEN, text)
    return _ROW.sub(rf"\1{HIDDEN}", text)


def _with_context(record: logging.LogRecord) -> bool:
    record.run_id, record.user_id = run_id.get(), user_id.get()
    if record.name == "uvicorn.access" and isinstance(record.args, tuple):
        # A query may hold anything; where it went is enough.
        record.args = tuple(_QUERY.sub("", one) if isinstance(one, str) else one for one in record.args)
    return True


class Json(logging.Formatter):
    """One JSON object a line: time, level, logger, message, process; worker, run and user where known."""

    def __init__(self, process: str, worker: str | None, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self.process, self.worker, self.secrets = process, worker, secrets

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": scrub(record.getMessage(), self.secrets),
            "process": self.process,
            "worker": self.worker,
            "run_id": getattr(record, "run_id", None),
            "user_id": getattr(record, "user_id", None),
            "exception": scrub(self._exception(record), self.secrets),
        }
        return json.dumps({name: value for name, value in fields.items() if value}, ensure_ascii=False)

    def _exception(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else record.exc_text or ""


class Text(Json):
    """A line for a person: nothing that was logged can begin a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        message = scrub(record.getMessage(), self.secrets)
        known = (("run", getattr(record, "run_id", None)), ("user", getattr(record, "user_id", None)))
        marks = "".join(f" [{what} {one}]" for what, one in known if one and one not in message)
        time = f"{_time(record):%Y-%m-%d %H:%M:%S}.{record.msecs:03.0f}"
        line = f"{time} {record.levelname} {record.name}{marks}: {_CONTROL.sub(' ', message)}"
        exception = scrub(self._exception(record), self.secrets)
        return "\n  ".join([line, *exception.splitlines()])


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
