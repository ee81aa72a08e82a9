"""The one GET of a provider's documents, from an HTTPS server that answers in every wrong way."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from pathlib import Path

import pytest

from flask_tenant_auth.config.provider_urls import split_url
from flask_tenant_auth.http_client import ExchangeError, get
from flask_tenant_auth.keys.fetch import fetch_json
from provider import Answer, Handler, Provider, body_of
from servers import free_port
from waiting import until


def send(body: bytes, status: int = 200, **headers: str) -> Answer:
    return lambda handler: handler.send(body, status, **headers)


def announce(length: str, body: bytes) -> Answer:
    """An answer whose Content-Length is not that of its body."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


def raw(octets: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.wfile.write(octets)
        handler.close_connection = True

    return answer


def drip(start: bytes) -> Answer:
    """One octet after the other, each soon enough for a timeout of a single read."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(start)
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.05)

    return answer


def test_a_document_is_fetched_over_verified_tls(provider: Provider) -> None:
    body, document = fetch_json(provider.url)
    assert document == {"keys": [provider.keys[0].jwk()]}
    assert body.startswith(b"{")
    assert provider.headers["Accept-Encoding"] == "identity"
    assert provider.headers["Host"] == provider.url.split("/")[2]


def test_the_user_of_a_url_is_sent_and_its_query_too(provider: Provider) -> None:
    url = provider.url.replace("https://", "https://me:p%40ss@") + "?v=1&w=2"
    get(url)
    assert provider.requests == ["/keys?v=1&w=2"]
    assert provider.headers["Authorization"] == "Basic bWU6cEBzcw=="


def test_an_unencrypted_url_serves_on_this_machine_only(tmp_path: Path) -> None:
    with Provider(tmp_path, tls=False) as plain:
        assert fetch_json(plain.url)[1]["keys"]
    for host in ("login.example.com", "10.0.0.1", "127.0.0.1.example.com", "localhost.example.com"):
        with pytest.raises(ValueError, match=r"^must be an https URL, not http://"):
            split_url(f"http://{host}/keys")
    for host in ("localhost", "127.0.0.1", "127.8.9.1", "[::1]"):
        split_url(f"http://{host}/keys")


@pytest.mark.parametrize(
    "url",
    ["ftp://localhost/x", "file:///etc/passwd", "https://", "https:///x", "https://h:99999/",
     "https://h:0/", "https://h:x/", "https://[::1/", "https://h/ x", "https://h/\n", "https://h\u00e9/",
     "https://" + "h" * 2048, "//h/x", "h"],
)  # fmt: skip
def test_other_urls_are_not_fetched(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        split_url(url)
    with pytest.raises(ExchangeError, match=" must be "):
        get(url)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (send(b"<html></html>"), "answered with what is no JSON"),
        (send(b"[1]"), "answered with JSON that is no object"),
        (send(b"[" * 100_000), "answered with what is no JSON"),
        (send(b'{"a":' * 65 + b"1" + b"}" * 65), "answered with what is no JSON"),
        (send(b'"\\"' * 60_000), "answered with what is no JSON"),
        (send(b"\xff\xfe\xfd"), "answered with what is no JSON"),
        (send(b""), "answered with what is no JSON"),
        (send(body_of(), 500), "answered with the status 500"),
        (send(body_of(), 404), "answered with the status 404"),
        (send(body_of(), 206), "answered with the status 206"),
        (send(body_of(), 302), "answered with the status 302"),
        (send(b" " * (256 * 1024 + 1)), "answered with more than 262144 bytes"),
        (announce("9" * 30, b"{}"), "answered with more than 262144 bytes"),
        (send(gzip.compress(body_of()), Content_Encoding="gzip"), "in a content encoding"),
        (send(body_of(), Content_Encoding="br, gzip"), "in a content encoding"),
        (send(gzip.compress(body_of())), "answered with what is no JSON"),
        (announce("100", b'{"keys": []}'), "sent less than it had announced"),
        (announce("5", b'{"keys": []}'), "answered with what is no JSON"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"), "broke the con"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x"), "broke"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "broke the connection or sent no HTTP"),
        (raw(b""), "broke the connection or sent no HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000), "broke the connection or sent no HTTP"),
    ],
    ids=lambda value: value[:32] if isinstance(value, str) else "",
)
def test_a_wrong_answer_is_no_document(provider: Provider, answer: Answer, reason: str) -> None:
    provider.answer_keys(answer)
    with pytest.raises(ExchangeError, match=reason) as caught:
        fetch_json(provider.url)
    assert str(caught.value).startswith(provider.url + " ")


def test_a_document_of_the_longest_size_is_fetched(provider: Provider) -> None:
    longest = b"{}".ljust(256 * 1024)
    provider.answer_keys(send(longest))
    assert get(provider.url) == longest
    chunks = 16 * (b"4000\r\n" + longest[-0x4000:] + b"\r\n")
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    provider.answer_keys(raw(start + chunks + b"0\r\n\r\n"))
    assert get(provider.url) == b" " * 256 * 1024
    provider.answer_keys(raw(start + chunks + b"1\r\n \r\n0\r\n\r\n"))
    with pytest.raises(ExchangeError, match="more than 262144 bytes"):
        get(provider.url)


def test_brackets_in_strings_are_no_nesting(provider: Provider) -> None:
    text = b'{"a": "' + b"[{" * 1000 + b'\\"' + b"[" * 1000 + b'", "b": ' + b"[" * 63 + b"]" * 63
    provider.answer_keys(send(text + b"}"))
    assert set(fetch_json(provider.url)[1]) == {"a", "b"}


def test_three_redirects_on_one_host_are_followed(provider: Provider) -> None:
    provider.answers |= {
        "/1": send(b"", 301, Location="/2"),
        "/2": send(b"", 307, Location=provider.issuer + "/3?x=1"),
        "/3": send(b"", 303, Location="keys"),
        "/0": send(b"", 308, Location="/1"),
    }
    assert fetch_json(provider.issuer + "/1")[1]["keys"]
    assert provider.requests == ["/1", "/2", "/3?x=1", "/keys"]
    with pytest.raises(ExchangeError, match="/keys is one redirect more than 3"):
        get(provider.issuer + "/0")


def test_a_redirect_elsewhere_is_not_followed(provider: Provider, tmp_path: Path) -> None:
    with Provider(tmp_path) as other, Provider(tmp_path, tls=False) as plain:
        for location in (
            other.url,
            plain.url,
            provider.url.replace("https", "http"),
            provider.url.replace("localhost", "127.0.0.1"),
            provider.url.replace("//localhost", "//localhost.example.com"),
            "//example.com/keys",
            "http://example.com/keys",
            "file:///etc/passwd",
        ):
            provider.answer_keys(send(b"", 302, Location=location))
            with pytest.raises(ExchangeError, match=r"redirected to: another|must be an? "):
                get(provider.url)
        assert not other.requests
        assert not plain.requests


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"HTTP/1.1 200 OK\r\nX-A: "),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"),
        lambda handler: time.sleep(3),
    ],
    ids=["headers", "body", "chunks", "nothing"],
)
def test_the_deadline_holds_for_the_whole_answer(provider: Provider, answer: Answer) -> None:
    provider.answer_keys(answer)
    before = time.monotonic()
    with pytest.raises(ExchangeError, match="did not answer in time"):
        get(provider.url, before + 0.5)
    assert 0.4 < time.monotonic() - before < 20  # what drips never ends
    until(lambda: "flask_tenant_auth HTTP" not in names_of_threads(), "the end of the thread")


def test_the_deadline_holds_before_an_answer(provider: Provider) -> None:
    """A server that accepts and never speaks TLS, and one that does not even accept."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        for _ in range(3):
            before = time.monotonic()
            with pytest.raises(ExchangeError, match=r"in time|cannot be reached"):
                get(url, before + 0.4)
            assert time.monotonic() - before < 20


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_a_certificate_of_another_ca_or_name_is_not_trusted(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Provider(tmp_path) as other, Provider(tmp_path, name="login.example.com") as named:
        with pytest.raises(ExchangeError, match=r"no TLS that can be trusted: .*certificate"):
            get(other.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(named.ca))
        with pytest.raises(ExchangeError, match="no TLS that can be trusted: Hostname mismatch"):
            get(named.url)
        assert not other.requests
        assert not named.requests


def test_a_server_without_tls_is_not_trusted(tmp_path: Path) -> None:
    with Provider(tmp_path, tls=False) as plain:
        with pytest.raises(ExchangeError, match="no TLS that can be trusted"):
            get(plain.url.replace("http://", "https://"))
        assert not plain.requests


def test_a_server_that_is_away_is_named_without_its_secrets() -> None:
    port = free_port()
    with pytest.raises(ExchangeError) as caught:
        get(f"https://user:secret@localhost:{port}/keys?token=hidden")
    assert str(caught.value).startswith(f"https://localhost:{port}/keys cannot be reached: ")
    with pytest.raises(
        ExchangeError, match=r"^https://no\.such\.invalid/ has a host whose name is"
    ):
        get("https://no.such.invalid/")
