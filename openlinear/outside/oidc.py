"""OpenID Connect: signing in with any identity provider that has discovery."""

import logging
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from openlinear.outside import oauth
from openlinear.outside.http import Away, ask
from openlinear.outside.provider import Challenge, Grant, Profile, ProviderId, Trouble
from openlinear.settings import Settings

log = logging.getLogger(__name__)

SCOPE = "openid email profile"
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures alone: with a shared secret or `none`, whoever knows the client could sign."""
LEEWAY = 60
"""Seconds that the provider's clock may be off."""
UNVERIFIED = (
    "the provider does not say that the email is verified (email_verified). If every email that it names is, "
    "OIDC_TRUST_EMAIL=true takes its word"
)
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

Claims = dict[str, Any]


class OpenIdConnect:
    """A `Provider`, read from its discovery document at each sign-in: it may move its endpoints."""

    id: ProviderId = "oidc"
    keeps_token = False

    def __init__(self, settings: Settings) -> None:
        self.name = settings.oidc_name
        self.issuer = settings.oidc_issuer
        self._settings = settings

    async def authorize(self, challenge: Challenge) -> str:
        found = await self._discover()
        return oauth.authorize_url(
            self._us(found), found["authorization_endpoint"], challenge, nonce=challenge.nonce
        )

    async def redeem(self, code: str, challenge: Challenge) -> Grant:
        found = await self._discover()
        return await oauth.redeem(self._us(found), found["token_endpoint"], code, challenge)

    async def profile(self, grant: Grant, challenge: Challenge) -> Profile:
        found = await self._discover()
        claims = self._checked(grant.id_token, await self._keys(found), challenge.nonce)
        told = {"email", "email_verified"} <= claims.keys()
        if not told and isinstance(found.get("userinfo_endpoint"), str):
            claims = await self._userinfo(found["userinfo_endpoint"], grant, claims)
        email = claims.get("email")
        login = claims.get("preferred_username") or email or claims["sub"]
        name, picture = claims.get("name"), claims.get("picture")
        return Profile(
            subject=claims["sub"],
            login=str(login),
            name=name if isinstance(name, str) and name.strip() else str(login).partition("@")[0],
            email=email if isinstance(email, str) and self._verified(claims) else None,
            no_email=UNVERIFIED if email else "",
            avatar_url=picture if isinstance(picture, str) and picture.startswith("https://") else None,
        )

    def _verified(self, claims: Claims) -> bool:
        """Whether the provider says so, which some do in a text; or the operator, of all it names."""
        said = claims.get("email_verified")
        return self._settings.oidc_trust_email or said is True or said == "true"

    def _us(self, found: Claims) -> oauth.Registration:
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        basic = "client_secret_basic" in methods
        return oauth.Registration(
            client_id=self._settings.oidc_client_id,
            client_secret=self._settings.oidc_client_secret.get_secret_value(),
            redirect_uri=self._settings.oidc_redirect_uri,
            scope=SCOPE,
            auth_method="client_secret_basic" if basic else "client_secret_post",
        )

    async def _discover(self) -> Claims:
        found = await _get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise _distrusted("the discovery document names another issuer than OIDC_ISSUER")
        if not all(self._usable(found.get(name)) for name in ENDPOINTS):
            raise _distrusted("the discovery document names an endpoint that is missing or not https")
        return found

    def _usable(self, url: Any) -> bool:
        """An address as secret as the issuer's own."""
        return isinstance(url, str) and (urlsplit(url).scheme in ("https", urlsplit(self.issuer).scheme))

    async def _keys(self, found: Claims) -> KeySet:
        try:
            return KeySet.import_key_set(await _get(found["jwks_uri"]))  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError):
            raise _distrusted("its keys cannot be read") from None

    def _checked(self, id_token: str | None, keys: KeySet, nonce: str) -> Claims:
        """The claims of an ID token that the issuer signed for us, now, and for this very sign-in."""
        us = self._settings.oidc_client_id
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": us},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = jwt.decode(id_token or "", keys, algorithms=ALGORITHMS).claims
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise _distrusted(f"its ID token is not valid ({type(error).__name__})") from None
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else us) != us:
            raise _distrusted("its ID token was made for another client")
        return claims

    async def _userinfo(self, url: str, grant: Grant, claims: Claims) -> Claims:
        """The claims, with what the provider tells beside the ID token, of the same person. Whether an email
        is verified is said of the email that comes with it, and of no other.
        """
        if not self._usable(url):
            raise _distrusted("its userinfo endpoint is not https")
        more = await _get(url, Authorization=f"Bearer {grant.access_token}")
        if more.get("sub") != claims["sub"]:
            raise _distrusted("its userinfo speaks of somebody else")
        if "email" in claims and more.get("email") != claims["email"]:
            more.pop("email_verified", None)
        return {**more, **claims}


async def _get(url: str, **headers: str) -> Claims:
    try:
        answer = await ask("GET", url, headers=headers)
    except Away as error:
        log.warning("The identity provider cannot be used: %s", error)
        raise Trouble("away") from None
    if answer.status != 200 or not isinstance(answer.content, dict):
        log.warning("The identity provider answered %s", answer.status)
        raise Trouble("away")
    return answer.content


def _distrusted(why: str) -> Trouble:
    log.warning("A sign-in was refused: %s", why)
    return Trouble("answer")
