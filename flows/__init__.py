"""Prefect flows: one study (tune), and what is built on it."""

import tasks  # noqa: F401 - sets the environment that Prefect reads when it is imported
