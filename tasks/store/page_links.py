"""Pages of MLflow's server, as links from one of them to another need no address of the server."""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote


def run_page(experiment_id: str, run_id: str) -> str:
    """The page of a run; for prompts, MLflow's default, it shows no description and no curves."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def version_page(model: str, version: str) -> str:
    """The page of a version of a registered model."""
    return f"#/models/{quote(model, safe='')}/versions/{version}"


def comparison_page(experiment_id: str, run_ids: Sequence[str]) -> str:
    """Runs side by side."""
    chosen, experiments = (quote(json.dumps(ids)) for ids in (list(run_ids), [experiment_id]))
    return f"#/compare-runs?runs={chosen}&experiments={experiments}"


def linked_pages(pages: Mapping[str, str]) -> str:
    """Links to pages by their names, as one line of Markdown; those without address left out."""
    return " · ".join(f"[{name}]({page})" for name, page in pages.items() if page)
