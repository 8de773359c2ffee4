"""The small parts that every page uses, and the browser-side modules in assets/ui as components."""

from typing import Any

import reflex as rx
from reflex.vars import VarData
from reflex_base.utils.imports import ImportVar
from reflex_components_core.react_router import link as router_link

FEED_PACKAGES = ["react-markdown@10.1.0", "remark-gfm@4.0.1", "highlight.js@11.12.0", "diff@8.0.2"]
DRAG_PACKAGES = [
    "@atlaskit/pragmatic-drag-and-drop@4.0.0",
    "@atlaskit/pragmatic-drag-and-drop-hitbox@3.0.0",
    "@atlaskit/pragmatic-drag-and-drop-auto-scroll@3.2.1",
]


def icon(name: str, size: int = 16, **props: Any) -> rx.Component:
    """A Lucide icon, at 16 or 14 pixels."""
    return rx.icon(name, size=size, custom_attrs={"strokeWidth": 1.75, "aria-hidden": True}, **props)


def button(*children: Any, **props: Any) -> rx.Component:
    """A button that submits no form."""
    return rx.el.button(*children, **{"class_name": "btn", "type": "button", **props})


def icon_button(name: str, label: str, **props: Any) -> rx.Component:
    attrs = {"aria-label": label, **props.pop("custom_attrs", {})}
    return button(icon(name), title=label, custom_attrs=attrs, **{"class_name": "btn ghost icon", **props})


def error_line(text: rx.Var[str]) -> rx.Component:
    """What went wrong, once something did."""
    return rx.cond(text != "", rx.el.p(text, class_name="error-line", role="alert"))


def field(label: str, hint: str = "", **props: Any) -> rx.Component:
    """A line of a form, which must be filled in if nothing else is said."""
    return rx.el.label(
        label,
        rx.el.input(**{"class_name": "input", "required": True, **props}),
        rx.el.span(hint, class_name="meta") if hint else rx.fragment(),
        class_name="field",
    )


def choice(label: str, name: str, options: tuple[tuple[str, str], ...]) -> rx.Component:
    """One of `options`, each a value and how it reads."""
    return rx.el.label(
        label,
        rx.el.select(
            *[rx.el.option(said, value=value) for value, said in options], name=name, class_name="select"
        ),
        class_name="field",
    )


def link(*children: Any, **props: Any) -> rx.Component:
    """A link inside the app: the page changes without a reload."""
    return router_link(*children, **props)


class Time(rx.Component):
    library = "$/public/ui/time.jsx"


class Elapsed(Time):
    """Time since `since`, ticking until `until`. Milliseconds."""

    tag = "Elapsed"
    since: rx.Var[int]
    until: rx.Var[int]


class Ago(Time):
    """How long ago that was; the exact time on hover. Milliseconds, 0 for nothing."""

    tag = "Ago"
    at: rx.Var[int]


class Page(rx.Component):
    library = "$/public/ui/page.jsx"


class SignIn(Page):
    tag = "SignIn"
    action: rx.Var[str]
    fields: rx.Var[list[str]]
    verb: rx.Var[str]


class Register(SignIn):
    """The same for an account, where one may make one."""

    tag = "Register"


class ByMail(Page):
    """What is shown where this server sends mail; otherwise it says who helps."""

    tag = "ByMail"


class Ask(rx.Component):
    """A form that asks the API. What it answers once (a token, a link) is shown here and nowhere kept."""

    library = "$/public/ui/account.jsx"
    tag = "Ask"
    action: rx.Var[str]
    verb: rx.Var[str]
    done: rx.Var[str]
    """What is said when it worked."""
    reveal: rx.Var[str]
    """Which part of the answer to show."""
    carries: rx.Var[str]
    """As what the page's link goes along."""
    to: rx.Var[str]
    """Where to go when it worked."""
    quiet: rx.Var[bool]
    """Whether it is one of several on its page."""
    on_done: rx.EventHandler[rx.event.no_args_event_spec]


class Way(Page):
    """A link that keeps where to go after signing in."""

    tag = "Way"
    href: rx.Var[str]


class SignOut(Page):
    tag = "SignOut"


class ThemeSwitch(Page):
    tag = "ThemeSwitch"


class Connection(Page):
    """Says that the server is away, and hears that this login is over or that news were missed."""

    tag = "Connection"
    live_name: rx.Var[str]
    on_behind: rx.EventHandler[rx.event.no_args_event_spec]


class VitalsLine(Page):
    """What is wrong with the engine or should be known of it: as loaded, or as told since."""

    tag = "VitalsLine"
    live_name: rx.Var[str]
    loaded: rx.Var[Any]


class Unread(Page):
    """How many items of the inbox are unread: as loaded, or as told since. Nothing for none."""

    tag = "Unread"
    live_name: rx.Var[str]
    loaded: rx.Var[Any]


class InboxNews(Page):
    """Hears that the inbox is another than what was loaded."""

    tag = "InboxNews"
    live_name: rx.Var[str]
    on_news: rx.EventHandler[rx.event.no_args_event_spec]


class Leave(Page):
    """Goes to an address, once there is one, as somebody who comes anew."""

    tag = "Leave"
    to: rx.Var[str]


class BoardPart(rx.Component):
    library = "$/public/ui/board.jsx"
    lib_dependencies: list[str] = DRAG_PACKAGES


class Board(BoardPart):
    """Hears where cards are dropped: task, column, and the ids of its new neighbours (or empty)."""

    tag = "Board"
    board_name: rx.Var[str]
    live_name: rx.Var[str]
    on_move: rx.EventHandler[rx.event.passthrough_event_spec(str, str, str, str)]


class DropColumn(BoardPart):
    tag = "DropColumn"
    column: rx.Var[str]


class Draggable(BoardPart):
    tag = "Draggable"
    card: rx.Var[Any]


class Group(BoardPart):
    """The line above the cards of a finished batch."""

    tag = "Group"
    card: rx.Var[Any]
    live_name: rx.Var[str]


class ShowMore(BoardPart):
    """Shows more of what this browser has, and asks for what only the server has (`rest`)."""

    tag = "ShowMore"
    live_name: rx.Var[str]
    column: rx.Var[str]
    hidden: rx.Var[int]
    rest: rx.Var[int]
    on_more: rx.EventHandler[rx.event.passthrough_event_spec(str)]


class Filter(BoardPart):
    tag = "Filter"
    live_name: rx.Var[str]


class Keys(rx.Component):
    library = "$/public/ui/keys.jsx"
    tag = "Keys"
    on_sheet: rx.EventHandler[rx.event.no_args_event_spec]


class Field(rx.Component):
    library = "$/public/ui/fields.jsx"


class Editable(Field):
    """A text edited in place; `name` tells drafts apart."""

    tag = "Editable"
    name: rx.Var[str]
    value: rx.Var[str]
    label: rx.Var[str]
    placeholder: rx.Var[str]
    on_save: rx.EventHandler[rx.event.passthrough_event_spec(str)]


class Description(Field):
    """A text that is read as a document and, on a click or Enter, edited as what it is."""

    library = "$/public/ui/description.jsx"
    lib_dependencies: list[str] = FEED_PACKAGES
    tag = "Description"
    name: rx.Var[str]
    value: rx.Var[str]
    label: rx.Var[str]
    placeholder: rx.Var[str]
    on_save: rx.EventHandler[rx.event.passthrough_event_spec(str)]


class Questions(Field):
    """What an agent asks, as one form. Answers with a list of texts for each question."""

    library = "$/public/ui/questions.jsx"
    tag = "Questions"
    questions: rx.Var[list[Any]]
    on_answer: rx.EventHandler[rx.event.passthrough_event_spec(list[list[str]])]


class Copy(Field):
    tag = "Copy"
    text: rx.Var[str]
    label: rx.Var[str]


class QuickAdd(Field):
    tag = "QuickAdd"
    name: rx.Var[str]
    error: rx.Var[str]
    made: rx.Var[int]
    """Grows with every task that was created, so that the line empties itself."""
    on_create: rx.EventHandler[rx.event.passthrough_event_spec(str)]


class Reach(Field):
    """Puts the focus into the element of this id."""

    tag = "Reach"
    target: rx.Var[str]


class Panel(Field):
    tag = "Panel"
    label: rx.Var[str]


class FeedPart(rx.Component):
    library = "$/public/ui/feed.jsx"
    lib_dependencies: list[str] = FEED_PACKAGES
    panel_name: rx.Var[str]
    log_name: rx.Var[str]
    empty: rx.Var[str]
    on_gap: rx.EventHandler[rx.event.passthrough_event_spec(str, int)]


class Conversation(FeedPart):
    tag = "Conversation"
    follow: rx.Var[bool]
    """Whether to begin at the end: a run that is over is read from its start."""


class Log(FeedPart):
    tag = "Log"


class Diff(rx.Component):
    library = "$/public/ui/diff.jsx"
    tag = "Diff"
    lib_dependencies: list[str] = ["highlight.js@11.12.0"]
    patch: rx.Var[str]
    empty: rx.Var[str]


class Stale(rx.Component):
    """Says when the open task's card is newer than what its panel has read."""

    library = "$/public/ui/board.jsx"
    tag = "Stale"
    panel_name: rx.Var[str]
    live_name: rx.Var[str]
    on_stale: rx.EventHandler[rx.event.no_args_event_spec]


def from_store(hook: str, name: str, value_type: Any, *states: str, module: str = "store") -> rx.Var[Any]:
    """What a hook of assets/ui/store.js, or another module there, returns, as a Var: `name` is its
    JavaScript variable.
    """
    arguments = ", ".join(f'"{state}"' for state in states)
    return rx.Var(
        _js_expr=name,
        _var_type=value_type,
        _var_data=VarData(
            hooks={f"const {name} = {hook}({arguments})": None},
            imports={f"$/public/ui/{module}.js": [ImportVar(tag=hook)]},
        ),
    ).guess_type()
