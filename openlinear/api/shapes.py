"""What goes over the wire: the services' values in camelCase."""

from datetime import date
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt
from pydantic.alias_generators import to_camel

from openlinear.api.fields import Time
from openlinear.services.views import Page, TaskView

T = TypeVar("T")


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class Items(Shape, Generic[T]):
    """A page of a list; `nextCursor` is null on the last."""

    items: list[T]
    next_cursor: str | None = None


def page_of(page: Page[Any], shape: type[T]) -> Items[T]:
    items = [shape.model_validate(item) for item in page.items]  # type: ignore[attr-defined]
    return Items[T](items=items, next_cursor=page.next_cursor)


class User(Shape):
    id: UUID
    name: str
    username: str
    email: str
    avatar_url: str | None
    github_id: int | None


class LoggedIn(Shape):
    token: str
    user: User


class Project(Shape):
    id: UUID
    name: str
    key: str
    description: str
    clone_url: str
    default_branch: str
    demo: bool
    has_credential: bool
    created_at: Time
    checks: list[str]
    team_id: UUID | None


class Label(Shape):
    id: UUID
    name: str
    color: str
    team_id: UUID | None


class Limits(Shape):
    """What a run may cost; null where there is no limit of this kind."""

    wall_seconds: float | None = Field(None, description="How long the agent may work.")
    idle_seconds: float | None = Field(None, description="How long it may give no sign of life.")
    tokens: int | None = Field(None, description="In and out together.")
    dollars: float | None = None
    attempts: int | None = Field(None, description="How often it may be tried, the first time included.")


class LimitsChange(Shape):
    """Limits that are left out stay as they are; null takes one away."""

    model_config = ConfigDict(**Shape.model_config, extra="forbid")

    wall_seconds: StrictFloat | None = None
    idle_seconds: StrictFloat | None = None
    tokens: StrictInt | None = None
    dollars: StrictFloat | None = None
    attempts: StrictInt | None = None

    def patch(self) -> dict[str, float | None]:
        return self.model_dump(exclude_unset=True)


class Clash(Shape):
    """Another task whose work would conflict with this one's, were both merged now."""

    task_id: UUID
    identifier: str
    files: list[str]


class Dependency(Shape):
    id: UUID
    identifier: str
    title: str
    done: bool


class Execution(Shape):
    run_id: UUID
    status: str
    progress: int
    message: str
    error: str | None
    outcome: str | None
    user_id: UUID
    model: str
    branch: str
    pr_url: str | None
    pr_number: int | None
    pr_state: str | None = Field(description="open, closed or merged; null until GitHub told.")
    additions: int
    deletions: int
    files_changed: int
    tokens_in: int
    tokens_out: int
    cost: float
    started_at: Time | None
    ended_at: Time | None
    created_at: Time
    error_kind: str | None
    attempt: int
    attempts: int
    limits: Limits
    batch_id: UUID | None
    clashes: list[Clash]


class Task(Shape):
    id: UUID
    project_id: UUID
    identifier: str
    title: str
    description: str
    status: str
    order: float
    priority: str | None
    labels: list[Label]
    due_date: date | None
    agent: str
    model: str
    archived: bool
    created_by: str
    created_at: Time
    updated_at: Time
    version: int
    execution_status: str | None = None
    execution_progress: int | None = None
    execution_error: str | None = None
    branch_name: str | None = None
    pr_url: str | None = None
    pr_number: int | None = None
    execution: Execution | None = None
    limits: Limits
    waits_for: list[Dependency]

    @classmethod
    def of(cls, view: TaskView) -> "Task":
        """The task with the chief facts of its last run beside it. The branch is named once it is on the
        remote, as everywhere; `execution.branch` says before what it will be.
        """
        task = cls.model_validate(view)
        run = view.execution
        if run is not None:
            task.execution_status, task.execution_progress = run.status, run.progress
            task.execution_error, task.branch_name = run.error, run.branch if run.pushed else None
            task.pr_url, task.pr_number = run.pr_url, run.pr_number
        return task


class LogEntry(Shape):
    run_id: UUID = Field(description="`seq` begins anew with each run of the task.")
    seq: int
    time: Time
    level: str
    kind: str
    part: str
    state: str
    message: str
    details: dict[str, Any] | None


class FileChange(Shape):
    path: str
    additions: int
    deletions: int
    binary: bool


class Diff(Shape):
    run_id: UUID | None
    patch: str
    files: list[FileChange]


class AskOption(Shape):
    label: str
    description: str


class AskQuestion(Shape):
    text: str
    options: list[AskOption]
    multiple: bool
    custom: bool


class Ask(Shape):
    id: UUID
    run_id: UUID
    kind: str
    text: str
    options: list[AskOption]
    multiple: bool
    asked_at: Time
    questions: list[AskQuestion]


class Settings(Shape):
    parallel_limit: int
    max_batch_size: int
    auto_approve: bool
    stop_on_failure: bool
    conflict_behavior: str
    build_on_previous: bool
    network: Literal["open", "listed", "none"] = Field(description="What the caller's agents reach.")
    network_hosts: list[str] = Field(description="What they reach besides, where `network` is `listed`.")
    limits: Limits


class Provider(Shape):
    provider_id: str
    name: str
    base_url: str | None
    models: list[str]
    connected: bool
    by: Literal["key", "account"] | None = None
    since: Time | None = None
