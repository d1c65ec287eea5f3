"""What a study begins from: found once, recorded, and read again when the study is resumed."""

from dataclasses import replace

from prefect import get_run_logger

from flows.tune_plan import Plan
from tasks.earlier_studies.find import Recalled, Sought, counted, recall, record, recorded
from tasks.store.tracker import Tracker


def with_memory(plan: Plan, study: Tracker) -> Plan:
    """The plan with the earlier studies that its study begins from, or began from."""
    if not plan.remembers:
        return plan
    recalled = recorded(study)
    if recalled is None:
        recalled = recall(_sought(plan))
        record(study, recalled)
    get_run_logger().info("memory: %s", as_line(recalled))
    spec = replace(plan.study, memory=recalled.studies)
    return replace(plan, study=spec, left_out=recalled.left_out)


def memory_notes(plan: Plan) -> tuple[str, ...]:
    """Which earlier studies are not used, and why, in one line; none if all are."""
    if not plan.left_out:
        return ()
    return (f"earlier studies that are not used: {', '.join(plan.left_out)}",)


def as_line(recalled: Recalled) -> str:
    """From how many earlier studies a study begins, and which are not used."""
    left_out = f"; not used: {', '.join(recalled.left_out)}" if recalled.left_out else ""
    return f"the study begins from {counted(len(recalled.studies))}{left_out}"


def _sought(plan: Plan) -> Sought:
    objective = plan.objective
    return Sought(
        experiment=plan.experiment,
        space=objective.space,
        metric=objective.metric,
        objective=objective.name,
        model=plan.registry.name,
        network=plan.objective_spec.name,
        options=plan.past,
    )
