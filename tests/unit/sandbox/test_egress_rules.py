"""Policies as the proxy gets them, and how it judges what agents ask for."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.egress_hosts import REGISTRIES, normal
from engine.ports import Egress, EgressMode
from engine.sandbox import egress_proxy, egress_rules
from engine.sandbox.egress_proxy import Refused
from engine.settings import EngineSettings

ANTHROPIC = "api.anthropic.com"


def policy(mode: EgressMode, *hosts: str, providers: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    return egress_rules.policy(Egress(mode, hosts, providers), EngineSettings(**settings))


def allowed(known: dict[str, Any], host: str, port: int = 443) -> bool:
    try:
        egress_proxy.rule_for(known, host, port)
    except Refused:
        return False
    return True


def test_listed_is_the_registries_the_provider_and_what_was_added() -> None:
    known = policy("listed", "example.com", "*.example.org", "npm.example.net:8443", providers=("anthropic",))
    for host in (ANTHROPIC, *REGISTRIES, "example.com", "a.example.org", "a.b.example.org"):
        assert allowed(known, host), host
    for host in (
        "api.openai.com",
        "example.net",
        "a.example.com",
        "example.org",
        "badexample.org",
        "169.254.169.254",
    ):
        assert not allowed(known, host), host
    assert allowed(known, "example.com", 80)
    assert not allowed(known, "example.com", 22)
    assert allowed(known, "npm.example.net", 8443)
    assert not allowed(known, "npm.example.net")


def test_a_provider_is_reached_where_one_signs_in_to_it_and_where_an_account_is_answered() -> None:
    openai = policy("none", providers=("openai",))
    assert {rule["host"] for rule in openai["rules"]} == {"api.openai.com", "auth.openai.com", "chatgpt.com"}
    assert policy("none", providers=("nobody-knows",))["rules"] == []


def test_none_is_the_provider_alone_and_open_is_the_web() -> None:
    nothing = policy("none", "example.com", providers=("anthropic", "https://models.example.net:8080/v1"))
    assert allowed(nothing, ANTHROPIC) and allowed(nothing, "models.example.net", 8080)
    assert not any(allowed(nothing, host) for host in (*REGISTRIES, "example.com"))
    assert not allowed(nothing, "models.example.net")
    everything = policy("open")
    assert allowed(everything, "anything.example") and allowed(everything, "anything.example", 80)
    assert not allowed(everything, "anything.example", 25)


def judged(known: dict[str, Any], host: str, ip: str, port: int = 443) -> bool:
    try:
        rule = egress_proxy.rule_for(known, host, port)
        egress_proxy.judge(host, [ip], rule, known["own"])
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    "ip",
    ["127.0.0.1", "10.1.2.3", "172.17.0.1", "192.168.1.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0"],
)
def test_a_listed_name_leads_to_no_private_address(ip: str) -> None:
    assert not judged(policy("open"), "example.com", ip)
    assert not judged(policy("listed", "example.com"), "example.com", ip)
    assert judged(policy("open"), "example.com", "93.184.215.14")


def test_one_private_address_among_others_is_refused() -> None:
    with pytest.raises(Refused):
        egress_proxy.judge("example.com", ["93.184.215.14", "10.0.0.1"], {"private": False}, [])


def test_what_this_machine_is_reached_at_is_refused_though_public() -> None:
    known = {**policy("open"), "own": ["93.184.215.14"]}
    assert not judged(known, "example.com", "93.184.215.14")


def test_private_networks_are_for_what_the_operator_names() -> None:
    operators = policy("listed", egress_hosts="npm.corp.example:4873")
    assert judged(operators, "npm.corp.example", "10.1.2.3", 4873)
    assert not judged(operators, "npm.corp.example", "127.0.0.1", 4873)
    assert not judged(operators, "npm.corp.example", "169.254.169.254", 4873)
    url = "http://models.corp.example:8080/v1"
    assert not judged(policy("none", providers=(url,)), "models.corp.example", "10.1.2.3", 8080)
    local = policy("none", providers=(url,), allow_local_remotes=True)
    assert judged(local, "models.corp.example", "10.1.2.3", 8080)
    assert not judged(local, "models.corp.example", "169.254.169.254", 8080)


def test_the_operators_hosts_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGRESS_HOSTS", "Git.Example.com, *.example.org")
    assert EngineSettings().egress_hosts == ("git.example.com", "*.example.org")
    monkeypatch.setenv("EGRESS_HOSTS", "https://git.example.com/")
    with pytest.raises(ValueError, match="must be a host"):
        EngineSettings()


@pytest.mark.parametrize(
    "host", ["", "*", "*.com", "a b", "http://a.example", "a.example/x", "a.example:0", "-a.example"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError):
        normal(host)


def head(first: str, *headers: str) -> bytes:
    return "\r\n".join([first, *headers, "", ""]).encode()


def test_requests_are_read_as_what_they_ask_for() -> None:
    assert egress_proxy.asked(head("CONNECT Example.com:443 HTTP/1.1")) == ("example.com", 443, b"")
    host, port, onward = egress_proxy.asked(
        head("GET http://example.com/a?b HTTP/1.1", "Host: other.example", "Proxy-Authorization: x", "A: b")
    )
    assert (host, port) == ("example.com", 80)
    assert onward == head("GET /a?b HTTP/1.1", "Host: example.com", "A: b", "Connection: close")


@pytest.mark.parametrize(
    "first",
    [
        "GET / HTTP/1.1",
        "CONNECT example.com HTTP/1.1",
        "CONNECT example.com:99999 HTTP/1.1",
        "CONNECT user@example.com:443 HTTP/1.1",
        "CONNECT exam\tple.com:443 HTTP/1.1",
        "GET ftp://example.com/ HTTP/1.1",
        "GET http:///etc/passwd HTTP/1.1",
        "nonsense",
    ],
)
def test_what_names_no_host_is_refused(first: str) -> None:
    with pytest.raises(Refused):
        egress_proxy.asked(head(first))


def test_what_was_refused_is_read_as_from_a_stranger(tmp_path: Path) -> None:
    path = tmp_path / "refused.json"
    assert egress_rules.refused(path) == {}
    path.write_text("nonsense")
    assert egress_rules.refused(path) == {}
    path.write_text(json.dumps({"example.com": 1.5, "a\nb": 2.0, "example.org": "later"}))
    assert egress_rules.refused(path) == {"example.com": 1.5}
