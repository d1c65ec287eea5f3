"""One study as a Prefect flow, and as a command: `python -m flows.tune`."""

import json
import time
from contextlib import closing, suppress
from dataclasses import asdict, replace
from functools import partial

from prefect import get_run_logger, runtime

from flows.command import Command
from flows.command_line import run_module
from flows.display.progress import ReportingBackend, StudyProgress
from flows.display.publish import publish
from flows.display.summarise import summarise
from flows.display.summary import Summary
from flows.display.summary_text import as_text
from flows.earlier_studies import memory_notes, with_memory
from flows.events import study_ended
from flows.final_model import final_model
from flows.identity import check_unchanged, log_code, reuse_notes, study_identity
from flows.masked_logs import masked_run
from flows.notify import HOOKS, load_notifier, tell
from flows.options_flow import options_flow
from flows.parameters import with_parameters
from flows.tracked_trainings import open_trainings, pruned
from flows.tune_plan import Plan, TuneOptions, prepare
from llmpso import __version__
from llmpso.advisor import Advisor
from llmpso.errors import BusyError
from llmpso.objectives.base import notes_of
from llmpso.search.optimizer import Optimizer
from llmpso.search.warm_start import HasMemory
from llmpso.study.loop import run_study
from llmpso.study.result import StudyResult
from llmpso.study.spec import warn_of_idle_workers
from llmpso.text import plural
from tasks.advise import CachedBackend
from tasks.records.flow_runs import prefect_address, without_process_tag
from tasks.records.ledger import Ledger
from tasks.records.replies import StudyReplies
from tasks.records.studies import WORKERS_TAG, open_study
from tasks.records.system_metrics import system_metrics
from tasks.store.patience import STORE_ERRORS
from tasks.store.tracker import Tracker


@options_flow(
    TuneOptions,
    name="tune",
    version=__version__,
    flow_run_name="{objective} · {method} · seed {seed}",
    **HOOKS,
)
@masked_run
@without_process_tag()
@with_parameters(TuneOptions)
def tune(options: TuneOptions) -> Summary:
    """Tune a model: a swarm guided by a surrogate, and by a language model if there is one.

    All is tracked in MLflow. Without any option an LSTM learns to forecast real hourly air quality
    six hours ahead.
    """
    notify = options.run.notify
    if notify is not None:
        load_notifier(notify)
    plan = prepare(options)
    get_run_logger().info("advisor: %s", plan.advisor_reason)
    summary = run_plan(plan)
    tell(notify, f"tune finished: {summary.objective}", as_text(summary))
    return summary


def run_plan(plan: Plan) -> Summary:
    """Run a checked plan inside a flow run, record all of it, and close the plan."""
    log_code(plan.fingerprint)
    identity, run_id = study_identity(plan), str(runtime.flow_run.id)
    with closing(plan), open_study(identity, run_id, resume=not plan.run.fresh) as ledger:
        begun = _with_first_sizes(plan, ledger.study)
        with system_metrics(ledger.study, are_wanted=plan.run.system_metrics):
            return _run(with_memory(begun, ledger.study), ledger)


def _with_first_sizes(plan: Plan, study: Tracker) -> Plan:
    """The plan with the batch and swarm sizes of the interrupted run.

    If they follow the number of workers, the trials depend on the workers of the first run. The
    next run may have another number, or measure another one while the machine is busy.
    """
    begun = plan.laid_out_for(int(study.tags()[WORKERS_TAG]))
    spec, logger = begun.study, get_run_logger()
    logger.info(
        "swarm of %s; %s proposed at once",
        plural(spec.swarm_size, "particle"),
        plural(spec.n_at_once, "configuration is", "configurations are"),
    )
    warn_of_idle_workers(spec, plan.n_workers, logger)
    return begun


def _run(plan: Plan, ledger: Ledger) -> Summary:
    begin, study = time.perf_counter(), ledger.study
    budget = max(plan.study.search.evaluations, round(ledger.reusable_cost))
    notes = (*notes_of(plan.objective), *reuse_notes(plan, ledger))
    progress = StudyProgress(budget, plan.objective.metric, get_run_logger(), notes)
    advisor = plan.advisor(
        lambda backend: ReportingBackend(StudyReplies(CachedBackend(backend), study), progress)
    )
    optimizer = plan.optimizer(advisor)
    result = _search(plan, ledger, optimizer, advisor, progress)
    ledger.deliver()
    _record_calls(study, advisor)
    wall_seconds = time.perf_counter() - begin
    _warn_of_unused(ledger)
    check_unchanged(plan, ledger)
    model = final_model(plan, ledger, result)
    summary = summarise(
        plan,
        result,
        reused=ledger.reused,
        wall_seconds=wall_seconds,
        model=model.version,
        ensemble=model.ensemble,
        study=study,
        prefect_run=prefect_address(),
        notes=(*notes, *memory_notes(plan)),
        memory=optimizer.memory if isinstance(optimizer, HasMemory) else None,
    )
    publish(plan, ledger, result, summary)
    study_ended(summary)
    return summary


def _search(
    plan: Plan,
    ledger: Ledger,
    optimizer: Optimizer,
    advisor: Advisor | None,
    progress: StudyProgress,
) -> StudyResult:
    try:
        with open_trainings(plan, ledger, progress) as trainings:
            result = run_study(
                optimizer,
                trainings.workers,
                plan.study.search.evaluations,
                advisor,
                plan.study.stop,
                foresight=plan.study.foresight,
                goals=plan.study.goals,
                prune=partial(pruned, ledger, progress),
                n_known=lambda: ledger.n_known,
                repeats=plan.study.repeats(plan.objective, trainings.in_full, ledger.recorded),
            )
    except BusyError:
        raise
    except BaseException:
        with suppress(*STORE_ERRORS):
            _record_calls(ledger.study, advisor)
        raise
    return replace(result, space=plan.objective.space, metric=plan.objective.metric)


def _warn_of_unused(ledger: Ledger) -> None:
    if ledger.n_unused:
        get_run_logger().warning(
            "%s not used: not proposed again",
            plural(
                ledger.n_unused,
                "evaluation of the earlier run is",
                "evaluations of the earlier run are",
            ),
        )


def _record_calls(study: Tracker, advisor: Advisor | None) -> None:
    """Record every exchange with the language model, one JSON object a line."""
    calls = advisor.calls if advisor else ()
    study.record_text("advisor/calls.jsonl", "".join(f"{json.dumps(asdict(c))}\n" for c in calls))


COMMAND = Command(
    tune,
    check=lambda arguments: prepare(TuneOptions(**arguments)),
    as_text=as_text,
    as_record=Summary.record,
    examples=(
        "--evaluations 60 --advisor none",
        "--csv measurements.csv --target pm2.5 --horizon 6",
        "cnn --images photographs/ --space wide",
        "own_model:train --space-file own_model.yaml --json",
    ),
)

APP = COMMAND.app()

if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.tune"))
