"""The origin of a web page must be that of the request: scheme, name and port."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from luad.api.auth.web_origin import is_same_origin, scheme_of


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "is_same"),
    [
        ("http://localhost:8080", "http", "localhost:8080", True),
        ("HTTP://LocalHost:8080", "http", "localhost:8080", True),
        ("http://localhost", "http", "localhost", True),
        ("http://localhost", "http", "localhost:80", True),
        ("https://luad.example", "https", "luad.example:443", True),
        ("https://luad.example:0443", "https", "luad.example", True),
        ("http://[::1]:8080", "http", "[::1]:8080", True),
        ("http://localhost:8081", "http", "localhost:8080", False),
        ("http://localhost", "http", "localhost:8080", False),
        ("https://localhost:8080", "http", "localhost:8080", False),
        ("http://127.0.0.1:8080", "http", "localhost:8080", False),
        ("http://localhost:8080/", "http", "localhost:8080", False),
        ("http://localhost:8080@evil.example", "http", "localhost:8080", False),
        ("http://localhost:8080.evil.example", "http", "localhost:8080", False),
        ("null", "http", "localhost:8080", False),
        ("", "http", "localhost:8080", False),
        ("file://", "http", "localhost:8080", False),
        ("localhost:8080", "http", "localhost:8080", False),
        ("http://", "http", "", False),
        ("http://a b", "http", "a b", False),
    ],
)
def test_an_origin_is_compared_in_full(origin: str, scheme: str, host: str, is_same: bool) -> None:
    assert is_same_origin(origin, scheme, host) is is_same


def test_only_a_trusted_proxy_names_the_scheme() -> None:
    headers, proxies = {"x-forwarded-proto": "https"}, [ip_network("10.0.0.0/8")]
    assert scheme_of("http", ip_address("10.1.2.3"), headers, proxies) == "https"
    assert scheme_of("http", ip_address("192.0.2.1"), headers, proxies) == "http"
    assert (
        scheme_of("http", ip_address("10.1.2.3"), {"x-forwarded-proto": "ftp"}, proxies) == "http"
    )


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("http://127.0.0.1:{port}", 200),
        ("http://127.0.0.1:1{port}", 403),
        ("http://127.0.0.1", 403),
        ("https://127.0.0.1:{port}", 403),
        ("http://localhost:{port}", 403),
        ("null", 403),
    ],
)
async def test_a_page_of_another_port_is_refused(far: Any, change: str, status: int) -> None:
    await far.make_token("ann")
    origin = change.format(port=far.port)
    assert (await far.get("/v1/jobs", "ann", Origin=origin))[0] == status


async def test_a_proxy_that_does_the_tls_names_the_scheme(behind: Any) -> None:
    await behind.make_token("ann")
    page = {"Origin": "https://luad.example", "Host": "localhost"}
    assert (await behind.get("/v1/jobs", "ann", **page))[0] == 403
    page = {"Origin": "https://localhost", "Host": "localhost"}
    assert (await behind.get("/v1/jobs", "ann", **page, X_Forwarded_Proto="https"))[0] == 200
    assert (await behind.get("/v1/jobs", "ann", **page))[0] == 403
