"""Who is let in: tokens, cookies, the names of the machine."""

import pytest

from maskrcnn_benchmark.demo.access import Access, access_for
from maskrcnn_benchmark.utils.errors import UserError

TOKEN = "a token of twenty-four c"


def cookie_of(header):
    return header[1].decode().partition(";")[0]


def test_tokens_are_drawn_anew_and_cannot_be_guessed():
    first, second = access_for("127.0.0.1"), access_for("127.0.0.1")
    assert first.token != second.token and len(first.token) >= 32
    assert first.opens_with(first.token)
    assert not any(first.opens_with(wrong) for wrong in ("", first.token[:-1], first.token + "a", "ä", second.token))


def test_without_a_token_no_token_opens():
    assert access_for("127.0.0.1", token="").token == "" and not access_for("127.0.0.1", token="").opens_with("")


def test_a_short_token_is_refused():
    with pytest.raises(UserError, match="DEMO_TOKEN has characters that no address has"):
        Access("\udcff" * 20)  # as Python reads bytes of the environment that are no UTF-8
    with pytest.raises(UserError, match="DEMO_TOKEN has 15 characters; take 16 or more"):
        access_for("127.0.0.1", token="a" * 15)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "localhost", "LOCALHOST:1", "[::1]:7860", "127.0.0.2:80", "localhost."]
)
def test_a_demo_of_this_machine_is_called_by_names_of_its_loopback(host):
    assert access_for("127.0.0.1").knows(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.9", "0.0.0.0:7860"),
        *("127.0.0.1:7860@evil.example", "evil.example/127.0.0.1", "127.0.0.1 ", "127.0.0.1,evil.example", "[::1"),
        *("localhost\n", "xn--localhost-9za", "2130706433", "0x7f.1"),
    ],
)
def test_any_other_name_of_it_is_unknown(host):
    assert not access_for("127.0.0.1").knows(host)


def test_a_demo_for_others_is_called_by_numbers_and_by_the_machines_name(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Lab7.example.org")
    access = access_for("0.0.0.0")
    for host in ("192.168.0.9:7860", "[fe80::1]:7860", "lab7.example.org:7860", "lab7", "localhost:7860"):
        assert access.knows(host), host
    assert not access.knows("evil.example:7860")  # a page of the net that has its own name point here
    assert access.link("0.0.0.0", 7860).startswith("http://Lab7.example.org:7860/?token=")


def test_behind_a_proxy_the_public_address_is_known_and_shown():
    access = access_for("127.0.0.1", TOKEN, "https://demo.example.org/net")
    assert access.knows("demo.example.org") and access.knows("127.0.0.1:7860")
    assert access.is_own("https://demo.example.org", "127.0.0.1:7860")
    assert access.link("127.0.0.1", 7860) == "https://demo.example.org/net/?token=a+token+of+twenty-four+c"
    _, (_, cookie) = access.new_cookie(7860)
    assert b"; Path=/net;" in cookie and cookie.endswith(b"; HttpOnly; SameSite=Lax; Secure")


@pytest.mark.parametrize(
    "url",
    [
        *("demo.example.org", "ftp://demo.example.org/", "https://", "https://[::1", "https://a:b@demo.example.org/"),
        *("https://demo.example.org/?a=1", "https://demo.example.org/#a", "https://demo.example.org:x/"),
        *("https://demo.example.org/a;Domain=example.org", "https://demo.example.org/a\nb", "javascript:alert(1)"),
    ],
)
def test_a_public_address_that_is_none_is_refused(url):
    with pytest.raises(UserError, match=r"--public-url (.|\n)* is no address such as"):
        access_for("127.0.0.1", TOKEN, url)


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7860", "https://127.0.0.1:7860", "HTTP://127.0.0.1:7860"])
def test_the_demos_own_page_is_of_its_own_host_and_port(origin):
    assert Access(TOKEN).is_own(origin, "127.0.0.1:7860")


@pytest.mark.parametrize(
    "origin", ["null", "", "http://127.0.0.1", "http://127.0.0.1:7861", "http://localhost:7860", "http://evil.example"]
)
def test_other_pages_are_not_its_own(origin):
    assert not Access(TOKEN).is_own(origin, "127.0.0.1:7860")


def test_a_cookie_holds_its_session_and_no_other_is_believed():
    access, other = Access(TOKEN), Access(TOKEN)
    session, header = access.new_cookie(7860)
    cookie = cookie_of(header)
    assert TOKEN not in cookie and "HttpOnly" in header[1].decode() and "Secure" not in header[1].decode()
    assert access.session_of(cookie, 7860) == session
    assert access.session_of(f"a=b; {cookie}; c=d", 7860) == session
    name, _, value = cookie.partition("=")
    # what a page of another port of this machine has set under the same name does not hide the right one
    assert access.session_of(f"{name}=planted; {cookie}", 7860) == session
    forged = [f"{name}={session}", f"{name}=x{value}", f"{name}={value[:-1]}", f"{name}=.", "", ";;=", f"{name}=ä.ä"]
    assert [access.session_of(each, 7860) for each in forged] == [None] * len(forged)
    assert access.session_of(cookie, 7861) is None and other.session_of(cookie, 7860) is None
