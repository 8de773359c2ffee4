"""The app assembled: pages, API, lifespan. Nothing else."""

import logging

import reflex as rx
from reflex.event import EventSpec
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from openlinear import frontend
from openlinear.api.app import create_api
from openlinear.api.app import lifespan as api_lifespan
from openlinear.components.acting import OneLogin
from openlinear.components.network import NetworkState
from openlinear.components.notice import NoticeState
from openlinear.components.shell import ShellState
from openlinear.components.ways import WaysState
from openlinear.headers import SecurityHeaders
from openlinear.live import live
from openlinear.pages.account import AccountState
from openlinear.pages.account_view import account_page
from openlinear.pages.administration import AdministrationState, administration_page
from openlinear.pages.batch import BatchState
from openlinear.pages.batching import BatchingState
from openlinear.pages.board import ROUTE, BoardState, board_page
from openlinear.pages.checks import ChecksState
from openlinear.pages.elsewhere import Elsewhere
from openlinear.pages.inbox import InboxState, inbox_page
from openlinear.pages.join import ROUTE as JOIN
from openlinear.pages.join import JoinState, join_page
from openlinear.pages.not_found import not_found_page
from openlinear.pages.projects import ProjectsState, home_page, projects_page
from openlinear.pages.providers import ProvidersState
from openlinear.pages.repositories import RepositoriesState
from openlinear.pages.settings import SettingsState, settings_page
from openlinear.pages.sign_in import administrator_page, forgot_page, login_page, register_page, reset_page
from openlinear.pages.storage import StorageState, storage_page
from openlinear.pages.task import PanelState
from openlinear.pages.team import TeamState
from openlinear.pages.team_view import ROUTE as TEAM
from openlinear.pages.team_view import team_page
from openlinear.pages.teams import TeamsState, teams_page
from openlinear.pages.webhooks import WebhooksState
from openlinear.pages.webhooks_view import OF_TEAM, OWN, webhooks_page
from openlinear.services.errors import NotSignedIn, ServiceError
from openlinear.settings import get_settings

log = logging.getLogger(__name__)

STYLES = ("tokens", "base", "board", "panel", "feed", "batch", "pages")
OURS = "Something went wrong on the server, and was written to its log. Try again."


def explain(exception: Exception) -> EventSpec | None:
    """What a refused or failed handler shows: where to sign in, or what happened and the cure."""
    if isinstance(exception, NotSignedIn):
        return NoticeState.to_login()
    if not isinstance(exception, ServiceError):
        log.error("A page's handler failed", exc_info=exception)
        return NoticeState.show(OURS, "error")
    return NoticeState.show(str(exception), "error")


def beside(pages: ASGIApp) -> ASGIApp:
    """The API, and behind it the pages."""
    api = create_api()
    api.mount("", pages)
    return api


class Site(rx.App):
    """Without the CORS that Reflex puts around everything: it would answer for the API, whose own says
    who may call it from elsewhere, and that without the cookie. Pages and websocket are same-origin.
    Around all of it are the headers of `SecurityHeaders`.
    """

    def __call__(self) -> ASGIApp:
        site = super().__call__()
        site.user_middleware = [one for one in site.user_middleware if one.cls is not CORSMiddleware]
        pages = frontend.web_folder() / "build" / "client"
        return SecurityHeaders(site, public_url=get_settings().public_url, pages=pages)


app = Site(
    stylesheets=[f"css/{name}.css" for name in STYLES],
    api_transformer=beside,
    backend_exception_handler=explain,
    toaster=None,
    app_wraps={},
    html_lang="en",
    head_components=[rx.el.link(rel="icon", href="/favicon.svg", type="image/svg+xml")],
)

app.add_middleware(OneLogin())
app.register_lifespan_task(api_lifespan)
app.register_lifespan_task(live)
app.add_page(not_found_page, route="404", title="Not found · OpenLinear")
app.add_page(home_page, route="/", title="OpenLinear", on_load=ProjectsState.to_last)
app.add_page(login_page, route="/login", title="Log in · OpenLinear")
app.add_page(register_page, route="/register", title="Register · OpenLinear")
app.add_page(forgot_page, route="/forgot", title="Forgot password · OpenLinear")
app.add_page(reset_page, route="/reset", title="New password · OpenLinear")
app.add_page(administrator_page, route="/administrator", title="Administrator · OpenLinear")
app.add_page(join_page, route=JOIN, title="Join · OpenLinear", on_load=[Elsewhere.arrive, JoinState.load])
app.add_page(
    board_page,
    route=ROUTE,
    title="OpenLinear",
    on_load=[BoardState.open, PanelState.open, BatchState.open, BatchingState.load, ShellState.load],
)

INSIDE = (
    ("Account", account_page, "/account", AccountState.load, WaysState.load),
    ("Administration", administration_page, "/administration", AdministrationState.load),
    ("Projects", projects_page, "/projects", ProjectsState.load, ChecksState.close, RepositoriesState.load),
    ("Inbox", inbox_page, "/inbox", InboxState.load),
    ("Teams", teams_page, "/teams", TeamsState.load),
    ("Team", team_page, TEAM, TeamState.load),
    ("Settings", settings_page, "/settings", SettingsState.load, ProvidersState.load, NetworkState.load),
    ("Storage", storage_page, "/settings/storage", StorageState.load),
    ("Webhooks", webhooks_page, OWN, WebhooksState.load),
    ("Webhooks", webhooks_page, OF_TEAM, WebhooksState.load),
)
"""The pages beside the board: title, page, address, and what each loads."""
for title, page, route, *loads in INSIDE:
    app.add_page(
        page,
        route=route,
        title=f"{title} · OpenLinear",
        on_load=[Elsewhere.arrive, ShellState.load, *loads],
    )
