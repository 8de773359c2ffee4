"""The product's tables. The engine's are its own."""

from openlinear.models.account import AccessToken, Attempt, AuthSession, OneTimeLink, User
from openlinear.models.change import Change
from openlinear.models.identity import Identity
from openlinear.models.inbox import Answered, InboxItem
from openlinear.models.preferences import Preferences, Provider, ProviderSignIn
from openlinear.models.project import Project
from openlinear.models.task import Label, Task, TaskDependency, TaskLabel
from openlinear.models.team import AuditEntry, Invitation, Member, Team
from openlinear.models.webhook import GitHubHook, GitHubMessage, PullRequest, Webhook, WebhookDelivery

__all__ = [
    "AccessToken",
    "Answered",
    "Attempt",
    "AuditEntry",
    "AuthSession",
    "Change",
    "GitHubHook",
    "GitHubMessage",
    "Identity",
    "InboxItem",
    "Invitation",
    "Label",
    "Member",
    "OneTimeLink",
    "Preferences",
    "Project",
    "Provider",
    "ProviderSignIn",
    "PullRequest",
    "Task",
    "TaskDependency",
    "TaskLabel",
    "Team",
    "User",
    "Webhook",
    "WebhookDelivery",
]
