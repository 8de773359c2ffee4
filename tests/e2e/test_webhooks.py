"""Webhooks as people meet them, in Chromium: added, tested, told of an end; a merged card closes live."""

from tests.support.browser import Arrive
from tests.support.receiver import Receiver
from tests.support.runs import Scribe

PR = "https://github.com/acme/cart/pull/7"


async def test_an_end_is_told_and_a_merge_closes_the_card(
    arrive: Arrive, scribe: Scribe, receiver: Receiver
) -> None:
    pass
