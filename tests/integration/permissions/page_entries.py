"""The pages' event handlers, one line each or more. See `matrix.py` for what the words mean.

`State.setvar` is Reflex's own, for every state: test_pages.py tries it on every variable there is.
"""

from openlinear.pages.waits import Needed
from openlinear.services import paging
from tests.integration.permissions.api_entries import ALL
from tests.integration.permissions.matrix import FIRST, KEEPS, LOCAL, MANAGES, OWNS, RUNS, SEES, SELF, Handler

BOARD = "/p/{project_id}"
TASK = "/p/{project_id}/t/{task_id}"
BATCH = "/p/{project_id}/b/{batch_id}"
TEAM = "/teams/{team_id}"
HOOKS = "/settings/webhooks"
TEAM_HOOKS = "/teams/{team_id}/webhooks"
HOOK = {"url": "https://example.com/in", "run.failed": "on"}
CURSOR = paging.encode(["-1000.0", "00000000-0000-0000-0000-000000000000"])
T = {"task_id": "{task_id}"}
IDLE = {"task_id": "{idle_task}"}
LIMIT = {"name": "dollars", "text": "5"}

ENTRIES = (
    # -- Reflex's own
    Handler("State.hydrate", LOCAL, at=TASK),
    Handler("State.set_is_hydrated", LOCAL, {"value": True}),
    Handler("State.hydrate_and_load", SEES, {"vars": {}, "hashes": []}, at=TASK, reads=True),
    Handler("State.hydrate_and_load", SEES, {"vars": {}, "hashes": []}, at=BATCH, reads=True),
    Handler("State.hydrate_and_load", SEES, {"vars": {}, "hashes": []}, at=TEAM, reads=True),
    Handler("State.hydrate_and_load", SELF, {"vars": {}, "hashes": []}, at="/settings"),
    Handler("OnLoadInternalState.on_load_internal", SEES, at=TASK, reads=True),
    Handler("OnLoadInternalState.set_is_hydrated", LOCAL, {"value": True}),
    Handler("UpdateVarsInternalState.update_vars_internal", LOCAL, {"vars": {}}),
    Handler(
        "FrontendEventExceptionState.handle_frontend_exception", LOCAL, {"info": "x", "component_stack": ""}
    ),
    # -- around every page
    Handler("ShellState.load", SELF),
    Handler("ShellState.fold", LOCAL),
    Handler("ShellState.unfold", LOCAL),
    Handler("ShellState.toggle_sheet", LOCAL),
    Handler("NoticeState.show", LOCAL, {"text": "x", "kind": ""}),
    Handler("NoticeState.close", LOCAL),
    Handler("NoticeState.to_login", LOCAL),
    Handler("Elsewhere.arrive", LOCAL),
    # -- the inbox
    Handler("InboxState.load", SELF),
    Handler("InboxState.show_more", SELF),
    Handler("InboxState.opened", KEEPS, {"item_id": "{inbox_id}"}, writes=True),
    Handler("InboxState.read_all", SELF, writes=True),
    # -- projects
    Handler("ProjectsState.load", SELF),
    Handler("ProjectsState.to_last", SELF),
    Handler("ProjectsState.try_demo", SELF, writes=True),
    Handler("ProjectsState.create", SELF, {"data": {"url": "https://example.com/new.git"}}, writes=True),
    Handler(
        "ProjectsState.create",
        MANAGES,
        {"data": {"url": "https://example.com/new.git", "home": "{team_id}"}},
        writes=True,
    ),
    Handler("ChecksState.close", LOCAL),
    Handler("ChecksState.toggle", SEES, {"project_id": "{project_id}"}, reads=True),
    Handler(
        "ChecksState.save", MANAGES, {"project_id": "{project_id}", "data": {"checks": "x"}}, writes=True
    ),
    # -- the board
    Handler("BoardState.open", SEES, at=BOARD, reads=True),
    Handler("BoardState.open", SEES, at=TASK, reads=True),
    Handler("BoardState.reread", SEES, at=TASK, reads=True),
    Handler(
        "BoardState.more",
        SEES,
        {"column": "done"},
        at=BOARD,
        holds={"project_id": "{project_id}", "cursors": {"done": CURSOR}},
        reads=True,
    ),
    Handler("BoardState.create", SEES, {"project_id": "{project_id}", "title": "New"}, at=BOARD, writes=True),
    Handler("BoardState.move", SEES, {**IDLE, "status": "done", "before": "", "after": ""}, writes=True),
    Handler(
        "BoardState.move",
        SELF,
        {**IDLE, "task_id": "{my_task}", "status": "done", "before": "{idle_task}", "after": "{task_id}"},
        writes=True,
    ),
    Handler("BoardState.execute", SEES, IDLE, writes=True),
    Handler("BoardState.cancel", RUNS, T, writes=True),
    Handler("BoardState.remove", SEES, {**IDLE, "identifier": "X-1"}, at=BOARD, writes=True),
    Handler("BoardState.restore", SEES, IDLE, writes=True),
    # -- batches
    Handler("BatchingState.load", SELF),
    Handler(
        "BatchingState.execute",
        SEES,
        {"project_id": "{project_id}", "task_ids": ["{retry_task}"], "mode": "queue", "rules": {}},
        writes=True,
    ),
    Handler("BatchState.open", SEES, at=BATCH, reads=True),
    Handler("BatchState.refresh", SEES, at=BATCH, reads=True),
    Handler("BatchState.approve", RUNS, {"batch_id": "{batch_id}"}, writes=True),
    Handler("BatchState.cancel", RUNS, {"batch_id": "{batch_id}"}, writes=True),
    Handler(
        "BatchState.cancel_task", RUNS, {"batch_id": "{batch_id}", "task_id": "{batch_task}"}, writes=True
    ),
    Handler("BatchState.retry", SEES, {"batch_id": "{ended_batch}"}, writes=True),
    # -- a task
    Handler("PanelState.open", SEES, at=TASK, reads=True),
    Handler("PanelState.refresh", SEES, at=TASK, reads=True),
    Handler(
        "PanelState.more_log",
        SEES,
        {"run_id": "{run_id}", "after": 0},
        at=TASK,
        holds={"run_id": "{run_id}", **T},
        reads=True,
    ),
    Handler("PanelState.save_title", SEES, {**T, "text": "New"}, writes=True),
    Handler("PanelState.save_title", SEES, {**T, "text": "New"}, at=TASK, holds=T, writes=True),
    Handler("PanelState.save_description", SEES, {**T, "text": "New"}, writes=True),
    Handler("PanelState.set_status", SEES, {**T, "status": "done"}, writes=True),
    Handler("PanelState.set_priority", SEES, {**T, "priority": "high"}, writes=True),
    Handler("PanelState.set_model", SEES, {**T, "model": "openai/gpt-5.1"}, writes=True),
    Handler("PanelState.set_due", SEES, {**T, "day": "2030-01-01"}, writes=True),
    Handler("PanelState.toggle_tag", SEES, {**T, "tag_id": "{label_id}"}, writes=True),
    Handler("PanelState.add_tag", SEES, {**T, "data": {"name": "New"}}, writes=True),
    Handler("PanelState.set_limit", SEES, {**T, **LIMIT}, writes=True),
    Handler("PanelState.raise_limit", LOCAL),
    Handler("PanelState.show_tab", LOCAL, {"tab": "log"}),
    Handler("PanelState.reply", RUNS, {**T, "ask_id": "{ask_id}", "reply": "once"}, writes=True),
    Handler("PanelState.deny", RUNS, {**T, "data": {"ask": "{ask_id}", "message": "no"}}, writes=True),
    Handler("PanelState.answer", RUNS, {**T, "ask_id": "{ask_id}", "answers": [["x"]]}, ok="422"),
    Handler("PanelState.restore", KEEPS, {"run_id": "{kept_run}"}, writes=True),
    Handler("WaitsState.search", SEES, {**T, "text": "canary"}, reads=True),
    Handler(
        "WaitsState.add_first",
        SEES,
        {**T, "_data": {}},
        holds={**T, "found": [Needed("{idle_task}", "X-1", "", False)]},
        writes=True,
    ),
    Handler("WaitsState.add", SEES, {**T, "other": "{idle_task}"}, writes=True),
    Handler("WaitsState.add", SELF, {"task_id": "{my_task}", "other": "{idle_task}"}),
    Handler("WaitsState.remove", SEES, {**T, "other": "{idle_task}"}, writes=True),
    # -- teams
    Handler("TeamsState.load", SELF),
    Handler("TeamsState.create", SELF, {"data": {"name": "Another"}}, writes=True),
    Handler("JoinState.load", SELF, at="/join/{invitation}", shows=("team",), reads=True),
    Handler("JoinState.join", SELF, at="/join/{invitation}", shows=("team",), writes=True),
    Handler("TeamState.load", SEES, at=TEAM, reads=True),
    Handler("TeamState.more_deeds", MANAGES, at=TEAM, reads=True),
    Handler("TeamState.rename", MANAGES, {"text": "Renamed"}, at=TEAM, writes=True),
    Handler("TeamState.set_limit", MANAGES, LIMIT, at=TEAM, writes=True),
    Handler(
        "TeamState.invite",
        MANAGES,
        {"data": {"role": "member", "days": "1", "uses": "1"}},
        at=TEAM,
        writes=True,
    ),
    Handler("TeamState.revoke", MANAGES, {"link_id": "{invitation_id}"}, at=TEAM, writes=True),
    Handler("TeamState.set_role", MANAGES, {"user_id": "{mate_id}", "role": "admin"}, at=TEAM, writes=True),
    Handler("TeamState.ask", LOCAL, {"what": "team"}, at=TEAM),
    Handler("TeamState.remove", MANAGES, {"user_id": "{mate_id}"}, at=TEAM, writes=True),
    Handler("TeamState.remove_project", MANAGES, {"project_id": "{spare_project}"}, at=TEAM, writes=True),
    Handler("TeamState.delete", OWNS, at="/teams/{spare_team}", writes=True),
    Handler("TeamState.delete", OWNS, at=TEAM, ok="409"),
    # -- accounts
    Handler("AccountState.load", SELF),
    Handler("AccountState.end", KEEPS, {"login_id": "{login_id}"}, writes=True),
    Handler("AccountState.end_others", SELF, writes=True),
    Handler("AccountState.revoke", KEEPS, {"token_id": "{token_id}"}, writes=True),
    Handler("AdministrationState.load", FIRST, shows=ALL),
    Handler("AdministrationState.show_more", FIRST, shows=ALL),
    Handler(
        "AdministrationState.set_admin",
        FIRST,
        {"user_id": "{mate_id}", "admin": True},
        writes=True,
        shows=ALL,
    ),
    Handler(
        "AdministrationState.set_disabled",
        FIRST,
        {"user_id": "{mate_id}", "disabled": True},
        writes=True,
        shows=ALL,
    ),
    Handler("AdministrationState.revoke", FIRST, {"link_id": "{account_invitation}"}, writes=True, shows=ALL),
    # -- settings
    Handler("SettingsState.load", SELF),
    Handler("SettingsState.set_number", SELF, {"name": "parallel_limit", "text": "2"}, writes=True),
    Handler("SettingsState.set_flag", SELF, {"name": "auto_approve", "on": True}, writes=True),
    Handler("SettingsState.set_conflict", SELF, {"behavior": "fail"}, writes=True),
    Handler("SettingsState.set_limit", SELF, LIMIT, writes=True),
    Handler("ProvidersState.load", SELF),
    Handler("ProvidersState.choose", LOCAL, {"provider": "openai"}),
    Handler(
        "ProvidersState.connect", SELF, {"data": {"key": "sk-1"}}, holds={"choice": "openai"}, writes=True
    ),
    Handler("ProvidersState.disconnect", SELF, {"provider": "mine"}, writes=True),
    Handler("ProvidersState.try_out", SELF, {"provider": "mine"}),
    Handler("ProvidersState.begin_sign_in", SELF, holds={"choice": "openai"}, writes=True),
    Handler("ProvidersState.end_sign_in", SELF, {"data": {"code": "c"}}, holds={"choice": "openai"}),
    Handler("NetworkState.load", SELF),
    Handler("NetworkState.show_refused", SELF),
    Handler("NetworkState.set_network", SELF, {"mode": "open"}, writes=True),
    Handler("NetworkState.set_hosts", SELF, {"text": "example.com"}, writes=True),
    Handler("WaysState.load", SELF),
    Handler("WaysState.disconnect", SELF, {"provider": "github"}, writes=True),
    Handler("RepositoriesState.load", SELF),
    Handler("RepositoriesState.search", SELF, {"query": "x"}),
    Handler("RepositoriesState.pick", LOCAL, {"url": "https://example.com/x.git", "name": "x"}),
    # -- webhooks
    Handler("WebhooksState.load", SELF, at=HOOKS),
    Handler("WebhooksState.load", MANAGES, at=TEAM_HOOKS, reads=True),
    Handler("WebhooksState.add", SELF, {"data": HOOK}, at=HOOKS, writes=True),
    Handler("WebhooksState.add", MANAGES, {"data": HOOK}, at=TEAM_HOOKS, writes=True),
    Handler("WebhooksState.enable", MANAGES, {"hook_id": "{webhook_id}", "on": False}, at=HOOKS, writes=True),
    Handler("WebhooksState.rotate", MANAGES, {"hook_id": "{webhook_id}"}, at=HOOKS, writes=True),
    Handler("WebhooksState.ask", LOCAL, {"hook_id": "{webhook_id}"}, at=HOOKS),
    Handler("WebhooksState.remove", MANAGES, {"hook_id": "{webhook_id}"}, at=HOOKS, writes=True),
    Handler("WebhooksState.show", MANAGES, {"hook_id": "{webhook_id}"}, at=HOOKS, reads=True),
    Handler("WebhooksState.test", MANAGES, {"hook_id": "{webhook_id}"}, at=HOOKS, writes=True),
    Handler(
        "WebhooksState.again",
        MANAGES,
        {"delivery_id": "{delivery_id}"},
        at=HOOKS,
        holds={"open": "{webhook_id}"},
        writes=True,
    ),
    Handler("WebhooksState.watch", SELF, at=HOOKS),
    Handler("WebhooksState.listen", MANAGES, {"project_id": "{project_id}"}, at=HOOKS, writes=True),
    Handler("WebhooksState.deafen", MANAGES, {"project_id": "{project_id}"}, at=HOOKS, writes=True),
    # -- storage
    Handler("StorageState.load", FIRST, shows=("personal", "team")),
    Handler("StorageState.restore", KEEPS, {"run_id": "{kept_run}"}, writes=True),
    Handler("StorageState.measure", FIRST, ok="503", shows=("personal", "team")),
    Handler("StorageState.clean", FIRST, ok="503", shows=("personal", "team")),
)
