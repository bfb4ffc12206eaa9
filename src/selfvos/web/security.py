"""Who may ask what: this machine's own page, and elsewhere those who have the token."""

import json
import secrets
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from selfvos.web.settings import LOCAL, WebConfig

_READING = {"GET", "HEAD"}
_COOKIE = "selfvos_token"
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        b"frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """ASGI middleware that lets through what comes from the page itself.

    * The Host header must name the address that is listened on: others that lead here (DNS rebinding) are refused.
    * What changes something must come from the page's own origin; a page in another tab has another one.
    * Where the server can be reached from other machines, a token is needed: once in the address, then as a cookie.
    """

    def __init__(self, app: Any, config: WebConfig) -> None:
        """Wrap an app."""
        self._app, self._config = app, config

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal:
            await _answer(send, *refusal)
            return
        cookie = self._cookie(scope) if not self._config.local else None

        async def guarded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS, *([cookie] if cookie else [])]
            await send(message)

        await self._app(scope, receive, guarded)

    def _refusal(self, scope: dict[str, Any], headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._config.local and _name(host) not in LOCAL:
            return 421, "this server answers to its own address alone; open the one that it printed"
        if scope["method"] not in _READING:
            origin = headers.get("origin")
            if origin is not None and _place(origin) != host:
                return 403, "another page may not change anything here"
            if origin is None and headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
                return 403, "another page may not change anything here"
        elif headers.get("sec-fetch-site") in {"cross-site", "same-site"} and scope["path"].startswith("/api"):
            return 403, "another page may not read anything here"
        if not self._config.local and not self._has_token(scope, headers):
            return 401, "open the address with its token, as the server printed it"
        return None

    def _has_token(self, scope: dict[str, Any], headers: dict[str, str]) -> bool:
        shown = [*_asked(scope), headers.get("authorization", "").removeprefix("Bearer ")]
        with suppress(CookieError):
            cookies = SimpleCookie(headers.get("cookie", ""))
            if _COOKIE in cookies:
                shown.append(cookies[_COOKIE].value)
        return any(secrets.compare_digest(one.encode(), self._config.token.encode()) for one in shown if one)

    def _cookie(self, scope: dict[str, Any]) -> tuple[bytes, bytes] | None:
        if not _asked(scope):
            return None
        value = f"{_COOKIE}={self._config.token}; HttpOnly; SameSite=Strict; Path=/"
        return b"set-cookie", value.encode("latin-1")


def _asked(scope: dict[str, Any]) -> list[str]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def _answer(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"application/json"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": text}).encode()})
