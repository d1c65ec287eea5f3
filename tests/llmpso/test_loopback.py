import httpx
import pytest

from llmpso.loopback import is_loopback, spare_loopback

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]
)
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "example.org", "10.0.0.1", "localhost.example.org", "::2"])
def test_others(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"NO_PROXY": "a"}, {"NO_PROXY": "a"}),
        ({"HTTP_PROXY": ""}, {}),
        ({"http_proxy": PROXY}, {"both": "localhost,127.0.0.1,::1"}),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "a, b"}, {"both": "a,b,localhost,127.0.0.1,::1"}),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "127.0.0.1"}, {"both": "127.0.0.1,localhost,::1"}),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "*"}, {"both": "*"}),
    ],
)
def test_what_is_spared_already_stays_so(before, after):
    environment = dict(before)
    for _ in range(2):
        spare_loopback(environment)
    both = {"no_proxy": after["both"], "NO_PROXY": after["both"]} if "both" in after else after
    assert environment == before | both


def test_clients_that_read_the_environment_go_directly(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, PROXY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    spare_loopback()
    with httpx.Client() as client:
        for host in ("localhost", "127.0.0.1", "[::1]"):
            assert client._transport_for_url(httpx.URL(f"http://{host}:4200/api")) is (
                client._transport
            )
        far = client._transport_for_url(httpx.URL("http://example.org"))
        assert far is not client._transport
