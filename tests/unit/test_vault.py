"""Secrets at rest."""

from collections.abc import Callable, Iterator

import pytest

from openlinear import vault
from openlinear.settings import get_settings

OLD, NEW = "an old secret key, long enough", "a new secret key, just as long"
UseKey = Callable[[str], None]


@pytest.fixture
def use_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[UseKey]:
    def use(key: str) -> None:
        monkeypatch.setenv("OPENLINEAR_SECRET_KEY", key)
        get_settings.cache_clear()

    yield use
    get_settings.cache_clear()


def test_what_is_sealed_opens_for_its_purpose_alone(use_key: UseKey) -> None:
    use_key(OLD)
    sealed = vault.seal("remote", "s3cret-token")
    assert "s3cret" not in sealed
    assert sealed != vault.seal("remote", "s3cret-token")
    assert vault.unseal("remote", sealed) == "s3cret-token"
    with pytest.raises(vault.Unreadable):
        vault.unseal("provider", sealed)


def test_a_changed_byte_does_not_open(use_key: UseKey) -> None:
    use_key(OLD)
    sealed = vault.seal("remote", "s3cret-token")
    for forged in (sealed[:-8] + "AAAAAAA=", "", "nonsense", sealed[: len(sealed) // 2]):
        with pytest.raises(vault.Unreadable):
            vault.unseal("remote", forged)


def test_keys_are_rotated_by_naming_the_new_one_first(use_key: UseKey) -> None:
    use_key(OLD)
    old = vault.seal("remote", "s3cret-token")
    use_key(f"{NEW},{OLD}")
    assert vault.unseal("remote", old) == "s3cret-token"
    fresh = vault.seal("remote", "s3cret-token")
    use_key(NEW)
    assert vault.unseal("remote", fresh) == "s3cret-token"
    with pytest.raises(vault.Unreadable):
        vault.unseal("remote", old)


def test_without_a_key_nothing_is_sealed(use_key: UseKey) -> None:
    use_key("")
    with pytest.raises(RuntimeError, match="OPENLINEAR_SECRET_KEY"):
        vault.seal("remote", "s3cret-token")
