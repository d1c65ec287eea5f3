"""What makes two runs the same study, and the study's parameters and tags in MLflow."""

from typing import Any

from prefect import get_run_logger

from flows.tune_plan import Plan
from llmpso.errors import SpecError
from llmpso.objectives.base import notes_of
from llmpso.options import StopOptions
from llmpso.running.fingerprint import Fingerprint, digest, objective_fingerprint
from llmpso.text import plural
from tasks.models.registry import RETUNE_TAG
from tasks.records.ledger import Ledger
from tasks.records.run_source import source_tags
from tasks.records.studies import WORKERS_TAG, StudyIdentity
from tasks.store.client import MOST_STORED
from tasks.store.experiment import MODEL_TAG, SPACE_PREFIX, STUDY_TAG
from tasks.store.names import keys


def study_identity(plan: Plan) -> StudyIdentity:
    """The study of a checked plan."""
    return StudyIdentity(
        experiment=plan.experiment,
        key=digest(_decisive(plan) | {"fingerprint": plan.fingerprint.text}),
        fingerprint=plan.fingerprint.text,
        name=plan.name,
        params=_params(plan),
        tags=_tags(plan),
        origin=source_tags(plan.objective, plan.objective_spec.name),
        dataset=plan.dataset,
        asked=_asked(plan),
        allowed=plan.allowed,
    )


def log_code(fingerprint: Fingerprint) -> None:
    """Log the code that decides whether earlier evaluations are reused."""
    logger = get_run_logger()
    if fingerprint.files:
        logger.info("code of the objective: %s", ", ".join(fingerprint.files))
    if fingerprint.unseen:
        logger.info("imports that cannot be followed: %s", ", ".join(fingerprint.unseen))
    if not fingerprint.covers_data:
        logger.info("the objective has no fingerprint, so changes of its data are not detected")
    if fingerprint.missing:
        logger.warning(
            "the code of %s is not in a file, so this study cannot be resumed",
            ", ".join(fingerprint.missing),
        )


def reuse_notes(plan: Plan, ledger: Ledger) -> tuple[str, ...]:
    """Notes for users on evaluations that are reused from an earlier run."""
    if plan.fingerprint.covers_data or not ledger.n_reusable:
        return ()
    one, several = "evaluation of an earlier run is", "evaluations of an earlier run are"
    return (
        f"{plural(ledger.n_reusable, one, several)} reused. The code is the same, but "
        "changes of the data cannot be detected, because the objective has no fingerprint; "
        "--fresh starts a new study",
    )


def check_unchanged(plan: Plan, ledger: Ledger) -> None:
    """Prevent the reuse of evaluations if code or data changed while the study ran."""
    try:
        now = objective_fingerprint(plan.objective, plan.objective_spec.path)
    except SpecError:
        now = None
    if now == plan.fingerprint or plan.fingerprint.missing:
        return
    reason = "the objective's code or data changed while the study ran"
    get_run_logger().warning("%s, so it cannot be extended later", reason)
    ledger.study.record_tags({STUDY_TAG: "", "reuse": f"none: {reason}"})


def _decisive(plan: Plan) -> dict[str, Any]:
    """What decides the trials of a study, except for the code and data of its objective."""
    search = plan.study.search.model_dump(exclude={"repeats"})
    search |= {"racing": plan.study.races}
    if not plan.study.search.decreasing_inertia:
        del search["evaluations"]  # like what stops it, they only end it: another run may go on
    model = dict(plan.backend.identity) | {"temperature": plan.temperature} if plan.backend else {}
    return {
        "search": search,
        "memory": plan.past.model_dump() if plan.remembers else None,
        "objective": plan.objective.name,
        "space": repr(plan.objective.space),
        "model": model,
    } | plan.goals_record


def _params(plan: Plan) -> dict[str, Any]:
    """The parameters of the study in MLflow, which cannot be changed later."""
    dimensions = plan.objective.space
    space = {
        f"{SPACE_PREFIX}{key}": repr(dimensions[name]) for name, key in keys(dimensions).items()
    }
    spec = plan.study
    shape = {"particles": spec.swarm_size, "batch": spec.n_at_once, "racing": spec.races}
    search = spec.search.model_dump(exclude={"evaluations", "repeats"}) | plan.past.model_dump()
    data = {"objective": plan.objective_spec.name}
    data |= plan.objective_spec.data.model_dump(exclude={"choose"})
    layout = {"workers": plan.layout.n_workers, "threads": plan.layout.n_threads}
    return search | shape | data | layout | space


def _asked(plan: Plan) -> dict[str, str]:
    """What ends the study, or follows it, and may differ when it is extended."""
    study, ensemble = plan.study, plan.run.ensemble
    asked = {
        "budget": str(study.search.evaluations),
        "repeats": str(study.search.repeats),
        "limits": _limits(study.stop),
    }
    chosen = {"choose": study.goals.choose} if study.goals else {}
    return asked | chosen | ({"ensemble": str(ensemble)} if ensemble else {})


def _limits(stop: StopOptions) -> str:
    given = stop.model_dump(exclude_none=True)
    return ", ".join(f"{name} {limit}" for name, limit in given.items()) or "none"


def _tags(plan: Plan) -> dict[str, str]:
    tags = {
        "objective": plan.objective.name,
        "metric": plan.objective.metric,
        "method": str(plan.study.search.method),
        MODEL_TAG: plan.registry.name,
        WORKERS_TAG: str(plan.study.n_workers),
        "advisor": plan.advisor_reason,
    }
    if plan.retune_run:
        tags[RETUNE_TAG] = plan.retune_run
    if notes := notes_of(plan.objective):
        tags["notes"] = "\n".join(notes)[:MOST_STORED]
    identity = plan.backend.identity if plan.backend else {}
    return tags | {f"advisor.{key}": value for key, value in identity.items()}
