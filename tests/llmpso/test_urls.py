"""Addresses show no secrets, however odd the secrets are."""

import pytest

from llmpso.errors import SpecError
from llmpso.urls import check_storable, holds_secret, masked_url, secrets_of

SECRETS = ["hunter2", "p@ss", "pa/ss", "pa?ss", "pa#ss", "p%40ss", "p:a:ss", "p@/?#@ss", "a b"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "form",
    [
        "http://me:{}@host:5000/path",
        "postgresql+psycopg2://me:{}@db.example/mlflow",
        "http://me:{}@[2001:db8::1]:80",
        "tcp://:{}@10.0.0.1:8786",
        "me:{}@host:5000",
        "//me:{}@host",
    ],
)
def test_a_password_is_not_shown_in_whole_or_in_part(form, secret) -> None:
    address = form.format(secret)
    assert holds_secret(address)
    reported = masked_url(address)
    assert not any(part in reported for part in ("me", secret, "ss", "hunter", "a b"))
    assert secret in secrets_of(address)
    with pytest.raises(
        SpecError, match=r"^llm_url holds a user name or password.*OPENAI_API_KEY"
    ) as caught:
        check_storable("llm_url", address, "put a key into OPENAI_API_KEY")
    assert reported in str(caught.value)
    assert f":{secret}" not in str(caught.value)


@pytest.mark.parametrize("secret", ["k-4711", "k%2F4711", "k@4711"])
@pytest.mark.parametrize(
    "form",
    [
        "https://host/v1?api_key={}",
        "https://host/v1?a=1&sig={}#x",
        "mssql+pyodbc:///?odbc_connect={}",
    ],
)
def test_a_key_in_the_query_is_not_shown(form, secret) -> None:
    assert "4711" not in masked_url(form.format(secret))
    assert secret in secrets_of(form.format(secret))


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:5000",
        "http://[::1]:5000/a/b",
        "sqlite:///mlflow.db",
        "sqlite:////home/me@work/mlflow.db",
        "sqlite:///:memory:",
        "file:///home/me@work/mlruns",
        "/home/me@work/mlruns",
        "./mlruns",
        "mlruns",
        "databricks://profile",
        "ray://10.0.0.1:10001",
        "10.0.0.1:6379",
        "auto",
        "",
    ],
)
def test_an_address_without_secrets_is_shown_as_it_is(address) -> None:
    assert masked_url(address) == address
    assert not holds_secret(address)
    assert secrets_of(address) == set()
    check_storable("address", address, "")
    check_storable("address", None, "")
