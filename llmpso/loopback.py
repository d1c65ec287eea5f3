"""Servers on this machine are reached directly, whatever proxy the environment names."""

import os
from collections.abc import MutableMapping
from ipaddress import ip_address

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("example.org")
        (True, True, False)
    """
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def spare_loopback(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add this machine to the hosts that are reached without a proxy; other entries stay.

    Every client of this process and of its children reads the variable, Prefect's and MLflow's
    among them. Without a proxy in the environment nothing is set: on macOS and Windows the
    variable alone would hide the proxy of the system's settings.
    """
    if not any(name.lower() in _PROXIES and value for name, value in environment.items()):
        return
    either = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host.strip() for host in (environment.get(name) or either).split(",")]
        missing = [host for host in LOOPBACK if host not in hosts and "*" not in hosts]
        environment[name] = ",".join([host for host in hosts if host] + missing)
