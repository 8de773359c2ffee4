"""What is kept of a run that could not push: the links that the panel and the storage page share."""

import reflex as rx

from openlinear.components import ui


def downloads(run: rx.Var[str], bundle: rx.Var[bool], files: rx.Var[bool]) -> list[rx.Component]:
    """Links to what is kept of a run."""
    return [
        rx.cond(
            bundle,
            _download("Commits", "Download the commits as a git bundle", "/api/runs/" + run + "/kept"),
        ),
        rx.cond(
            files,
            _download("Files", "Download the files that git ignores", "/api/runs/" + run + "/kept/files"),
        ),
    ]


def _download(text: str, title: str, href: rx.Var[str]) -> rx.Component:
    return rx.el.a(
        ui.icon("download", 14), text, href=href, title=title, class_name="btn", custom_attrs={"download": ""}
    )
