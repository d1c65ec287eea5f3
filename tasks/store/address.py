"""The address of the store that `MLFLOW_TRACKING_URI` names, and what is wrong with it."""

import os
from urllib.parse import unquote, urlsplit

import mlflow

from llmpso.errors import SpecError
from llmpso.urls import masked_url
from tasks.store.new_store import database_file
from tasks.store.store_file import server_error_in

URI = "MLFLOW_TRACKING_URI"

SHAPES = (
    "it must be sqlite:///FILE, with a fourth slash before a path from the root, http://HOST:PORT "
    "of an MLflow server, or the address of another database"
)


def store_address() -> str:
    """The store that the environment names, or SQLite in the working directory.

    A login in a server's address is moved to where MLflow looks for it too: from then on no
    message of a library can repeat it.

    Raises:
        SpecError: It is no address of a store.
    """
    uri = mlflow.get_tracking_uri()
    if not uri.startswith(("http://", "https://")):
        return uri
    try:
        parts = urlsplit(uri)
        is_readable = bool(parts.hostname) and parts.port != 0 and " " not in parts.netloc
    except ValueError:
        is_readable = False
    if not is_readable:
        raise unusable(uri, "its host or its port cannot be read", SHAPES)
    if not (parts.username and parts.password):
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    os.environ[URI] = masked_url(uri)
    mlflow.set_tracking_uri(masked_url(uri))
    return masked_url(uri)


def check_store(uri: str) -> None:
    """Refuse a SQLite store that cannot be used; others are asked themselves.

    Raises:
        SpecError: It cannot.
    """
    if not uri.startswith("sqlite:"):
        return
    if not uri.startswith("sqlite:///") or "\0" in unquote(uri):
        raise unusable(uri, "", SHAPES)
    path = database_file(uri)
    if path is None:
        raise unusable(uri, "a store in memory ends with the command", SHAPES)
    if fault := server_error_in(path):
        raise unusable(uri, fault)


def unusable(uri: str, reason: str, way_out: str = "") -> SpecError:
    """That a store cannot be used, with the setting that names another."""
    is_named = os.environ.get(URI, "").strip() or mlflow.get_tracking_uri() != uri
    setting = f"{URI} is {masked_url(uri)!r}" if is_named else f"{URI} is not set"
    return SpecError("; ".join(filter(None, (setting, reason, way_out or _way_out(uri)))))


def _way_out(uri: str) -> str:
    scheme = uri.partition("://")[0]
    if scheme in ("http", "https"):
        return "start that server, or name another store"
    if scheme == "sqlite":
        return f"{URI} may name another store, such as sqlite:////FOLDER/mlflow.db"
    if scheme.startswith(("postgresql", "mysql", "mssql")):
        return "start that database, or name another store"
    return SHAPES
