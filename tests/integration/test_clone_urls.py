"""Clone URLs that name this host, on a product that does not allow them."""

import httpx
import pytest

from openlinear.services.views import Actor
from tests.support.product import PASSWORD, Workerless


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/a/b.git",
        "https://127.0.0.1/a/b.git",
        "https://127.1/a/b.git",
        "https://2130706433/a/b.git",
        "https://0x7f.0.0.1/a/b.git",
        "https://[::1]/a/b.git",
        "https://[::ffff:10.0.0.1]/a/b.git",
        "https://0.0.0.0/a/b.git",
        "https://169.254.169.254/latest/meta-data",
        "https://db.internal/a/b.git",
    ],
)
async def test_an_address_of_this_host_is_refused(
    api: httpx.AsyncClient, ada: Actor, product: Workerless, url: str
) -> None:
    login = await api.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})
    headers = {"Authorization": f"Bearer {login.json()['token']}"}
    answer = await api.post("/api/projects", json={"name": "Here", "cloneUrl": url}, headers=headers)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "cloneUrl"
    assert "ALLOW_LOCAL_REMOTES" in error["detail"]
    assert product.asked == [], "no worker is sent there"
