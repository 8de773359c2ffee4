"""What the pages' policy (`openlinear/headers.py`) asks of their code."""

import re

from openlinear.resources import PACKAGE

EVALUATED = re.compile(r"\brx\.(call_script|call_function|run_script)\b")


def test_no_page_has_the_browser_evaluate_a_text() -> None:
    """The policy forbids it, so it would do nothing: a component of assets/ui does such things."""
    sources = [path for path in PACKAGE.rglob("*.py") if "import reflex" in path.read_text()]
    assert len(sources) > 20
    assert [path.name for path in sources if EVALUATED.search(path.read_text())] == []
