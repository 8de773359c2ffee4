"""The product's tables. The engine's are its own."""

from openlinear.models.account import Attempt, AuthSession, User
from openlinear.models.change import Change
from openlinear.models.preferences import Preferences, Provider
from openlinear.models.project import Project
from openlinear.models.task import Label, Task, TaskLabel

__all__ = [
    "Attempt",
    "AuthSession",
    "Change",
    "Label",
    "Preferences",
    "Project",
    "Provider",
    "Task",
    "TaskLabel",
    "User",
]
