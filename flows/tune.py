"""One study as a Prefect flow, and as a command: `python -m flows.tune`."""

import json
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from typing import Annotated, Literal

from cyclopts import Parameter
from prefect import flow, get_run_logger, runtime
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.urls import url_for
from pydantic import Field

from flows.command import Command, main
from flows.identity import check_unchanged, log_code, reuse_notes, study_identity
from flows.masked_logs import masked_run
from flows.notify import HOOKS, load_notifier, tell
from flows.plan import Plan, TuneOptions, prepare
from flows.prefect_page import PrefectPage
from flows.progress import ListeningBackend, StudyProgress
from flows.publish import publish
from flows.racing import raced
from flows.summary import Summary, as_text, summarise
from flows.terminal import shown_on_terminal
from llmpso.advisor import Advisor
from llmpso.objectives.base import notes_of
from llmpso.search.population import Optimizer
from llmpso.study import StudyResult, run_study, warn_of_idle_workers
from llmpso.trial import Trial
from tasks.advise import CachedBackend
from tasks.iterate import iterate
from tasks.ledger import Ledger
from tasks.patience import STORE_ERRORS
from tasks.replies import KeptReplies
from tasks.studies import WORKERS_TAG, open_study
from tasks.tracking import (
    StudyRun,
    describe_model,
    record_text,
    recorded_tags,
    register_model,
)

Share = Annotated[float, Field(ge=0, lt=1)]


@flow(name="tune", flow_run_name="{objective} · {method} · seed {seed}", **HOOKS)
@masked_run
def tune(
    objective: str = "lstm",
    *,
    csv: str | None = None,
    target: str | None = None,
    horizon: Annotated[int, Field(ge=1)] = 6,
    where: list[str] | None = None,
    max_missing: Share = 0.1,
    time: str | None = None,
    time_format: str | None = None,
    timezone: str | None = None,
    separator: str | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
    images: str | None = None,
    classes: str | None = None,
    dims: Annotated[int, Field(ge=2, le=1_000)] = 5,
    space: Literal["paper", "standard", "wide"] = "standard",
    last: Annotated[int, Field(ge=1)] | None = None,
    space_file: str | None = None,
    evaluations: Annotated[int, Field(ge=1, le=10_000)] = 30,
    stop_at: float | None = None,
    patience: Annotated[int, Field(ge=1)] | None = None,
    max_seconds: Annotated[float, Field(gt=0)] | None = None,
    max_llm_calls: Annotated[int, Field(ge=1)] | None = None,
    max_llm_tokens: Annotated[int, Field(ge=1)] | None = None,
    max_failures: Annotated[int, Field(ge=1)] | None = None,
    particles: Annotated[int, Field(ge=2, le=1_000)] | None = None,
    method: Literal["guided", "paper", "pso"] = "guided",
    topology: Literal["star", "ring"] = "star",
    warm_up: Annotated[int, Field(ge=1)] = 2,
    replaced: Annotated[int, Field(ge=1)] = 2,
    batch: Annotated[int, Field(ge=1)] | None = None,
    racing: bool = False,
    decreasing_inertia: bool = False,
    start: list[str] | None = None,
    seed: Annotated[int, Field(ge=0)] = 0,
    advisor: Literal["auto", "openai", "ollama", "embedded", "none"] = "auto",
    llm_model: str | None = None,
    llm_url: str | None = None,
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7,
    workers: Annotated[int, Field(ge=1, le=256)] | None = None,
    threads: Annotated[int, Field(ge=1, le=256)] | None = None,
    runner: Literal["thread", "process", "dask", "ray"] = "thread",
    address: str | None = None,
    per_gpu: Annotated[int, Field(ge=1)] | None = None,
    timeout: Annotated[float, Field(gt=0)] | None = None,
    memory: Annotated[int, Field(ge=1)] | None = None,
    resume: Annotated[bool, Parameter(negative="--fresh")] = True,
    experiment: str | None = None,
    register_as: str | None = None,
    notify: str | None = None,
) -> Summary:
    """Tune a model: a swarm guided by a language model, tracked in MLflow.

    Without any option an LSTM learns to forecast real hourly air quality six hours ahead.

    Args:
        objective: What to tune: `lstm` (forecasts a series), `cnn` (tells images apart),
            `rastrigin` (shifted and turned, under a neutral name), `plain-rastrigin`, or
            `package.module:attribute` for an objective or a plain function of yours.
        csv: Time series to forecast instead of the one that ships; one row per time step.
        target: Column of the file to forecast.
        horizon: Rows from the last observation to the forecast.
        where: Rows of the file to keep, as COLUMN=VALUE; may be given several times.
        max_missing: Largest share of missing target values that is accepted.
        time: Column of the time, or date and clock as DATE+CLOCK; found in the file if not given,
            as the next five are.
        time_format: How dates are written, such as %d/%m/%Y.
        timezone: Zone of times that do not name theirs, such as Europe/Berlin.
        separator: What separates the cells of the file: one character, `tab` or `space`.
        decimal: Decimal mark of the file.
        encoding: Encoding of the file, such as cp1252.
        images: Images to tell apart instead of the textures that ship: a folder with one folder
            per class, or an npz file with `images` and `labels`.
        classes: Classes of the images to use, several of them as one: `fibre=paper+cardboard`.
        dims: Variables of `rastrigin`.
        space: What is tuned of a network: layers and width (`paper`), learning rate and dropout
            besides (`standard`), or all there is (`wide`).
        last: Newest rows of the series to use; all of them if not given.
        space_file: Space of a plain function of yours: a YAML file, or Python that names `space`.
        evaluations: Trainings to spend, failed ones included.
        stop_at: Value that is good enough to end the study.
        patience: Trainings in a row without a better value that end it.
        max_seconds: Wall time that ends it; trainings that run are finished.
        max_llm_calls: Questions to the language model that end it, cached ones aside.
        max_llm_tokens: Tokens of those questions and answers that end it.
        max_failures: Failed trainings that end it.
        particles: Size of the swarm; if not given 4 in `guided` and 6 else, or as many as there
            are workers if those are more.
        method: In `guided` a surrogate picks among the swarm's moves and the language model names
            one start; `paper` lets the model replace the worst particles; `pso` asks nobody.
        topology: Who a particle learns from: all (`star`) or its two neighbours (`ring`).
        warm_up: Iterations before the language model is first asked.
        replaced: Particles that take its advice in each later iteration.
        batch: Particles that move at once in `guided`; as many as there are workers if not given.
        racing: Train all a little, stop the worse and go on with the others: far fewer epochs.
        decreasing_inertia: Let inertia fall from 0.9 to 0.4 over the study.
        start: Known configuration to evaluate first, as JSON; may be given several times.
        seed: Makes the study repeatable.
        advisor: Language model; `auto` takes OpenAI if its key is set, else a running Ollama,
            else the embedded model.
        llm_model: Model name for OpenAI or Ollama, or a GGUF file for the embedded one.
        llm_url: Address of the OpenAI-compatible or Ollama server.
        temperature: Spread of the language model's answers.
        workers: Trainings that run at once; measured at the start if not given.
        threads: Cores that one training may use; measured at the start if not given.
        runner: Where trainings run: in threads, in processes of their own that can be killed, or
            on the workers of a Dask or Ray cluster.
        address: That of the cluster; one is started on this machine if not given.
        per_gpu: Trainings that share one GPU; each worker sees one GPU only.
        timeout: Seconds after which a training is killed and counts as failed.
        memory: MiB that the process of a training may take before it is killed.
        resume: Go on with the same study where it was interrupted; `--fresh` begins it anew.
        experiment: MLflow experiment; the objective's name if not given.
        register_as: Name to register the best model under; the objective's name if not given.
        notify: Prefect notification block, as TYPE/NAME: told how the study ended.
    """
    options = TuneOptions(**locals())
    if options.notify is not None:
        load_notifier(options.notify)
    plan = prepare(options)
    get_run_logger().info("advisor: %s", plan.advisor_reason)
    summary = run_plan(plan)
    tell(options.notify, f"tune ended: {summary.objective}", as_text(summary))
    return summary


def run_plan(plan: Plan) -> Summary:
    """Run a checked plan inside a flow run, record all of it, and close the plan."""
    log_code(plan.fingerprint)
    identity, run_id = study_identity(plan), str(runtime.flow_run.id)
    with closing(plan), open_study(identity, run_id, resume=plan.resume) as ledger:
        return _run(_as_begun(plan, ledger.study), ledger)


def _as_begun(plan: Plan, study: StudyRun) -> Plan:
    """The plan with the batch and the swarm that an interrupted run of it had.

    Where these follow the workers, the trials depend on what the first run had of them; the next
    one may have others, or measure others on the same machine while it is busy.
    """
    begun = plan.laid_out_for(int(recorded_tags(study)[WORKERS_TAG]))
    spec, logger = begun.study, get_run_logger()
    logger.info("swarm of %d, %d move at once", spec.swarm_size, spec.n_at_once)
    warn_of_idle_workers(spec, plan.n_workers, logger)
    return begun


def _run(plan: Plan, ledger: Ledger) -> Summary:
    begin, study = time.perf_counter(), ledger.study
    budget = max(plan.study.budget, ledger.n_kept)
    notes = (*notes_of(plan.objective), *reuse_notes(plan, ledger))
    progress = StudyProgress(budget, plan.objective.metric, get_run_logger(), notes)
    advisor = plan.advisor(
        lambda backend: ListeningBackend(KeptReplies(CachedBackend(backend), study), progress)
    )
    optimizer = plan.optimizer(advisor)
    try:
        result = _search(plan, ledger, optimizer, advisor, progress)
    except BaseException:
        with suppress(*STORE_ERRORS):
            record_text(study, "advisor/calls.jsonl", _calls_text(advisor))
        raise
    ledger.deliver()
    record_text(study, "advisor/calls.jsonl", _calls_text(advisor))
    wall_seconds = time.perf_counter() - begin
    if ledger.n_unused:
        get_run_logger().warning(
            "%d evaluations of the earlier run were not proposed again", ledger.n_unused
        )
    check_unchanged(plan, ledger)
    summary = summarise(
        plan,
        result,
        reused=ledger.reused,
        wall_seconds=wall_seconds,
        model=_registered(plan, ledger, result.best),
        study=study,
        prefect_run=url_for("flow-run", obj_id=str(runtime.flow_run.id)) or "",
        notes=notes,
    )
    publish(plan, ledger, result, summary)
    return summary


def _registered(plan: Plan, ledger: Ledger, best: Trial) -> str:
    """The new version, where the study's best model is to become one at once."""
    if not plan.registers:
        return ""
    version = register_model(ledger.study, ledger.linked(best), plan.model_name)
    if version:
        describe_model(plan.tracking_uri, plan.model_name, plan.objective.description)
    return version


def _search(
    plan: Plan,
    ledger: Ledger,
    optimizer: Optimizer,
    advisor: Advisor | None,
    progress: StudyProgress,
) -> StudyResult:
    page = PrefectPage(progress)
    page.show()
    with (
        ThreadPoolTaskRunner(max_workers=plan.n_workers) as runner,
        plan.evaluator(ledger.arrivals) as measure,
        shown_on_terminal(progress, plan.n_workers),
    ):

        def train(trials: Sequence[Trial]) -> list[Trial]:
            told = [kept for trial in trials if (kept := ledger.answer(trial))]
            for trial in told:
                progress(trial)
            known = {trial.number for trial in told}
            if missing := [trial for trial in trials if trial.number not in known]:
                number = trials[0].iteration
                progress.begin(len(missing))
                told += iterate(number, missing, measure, ledger, runner, progress)
            ledger.note_incumbent(progress.best)
            page.show()
            return told

        evaluate = raced(plan.study.racing, train, ledger, progress)
        result = run_study(
            optimizer,
            evaluate,
            plan.study.budget,
            advisor,
            plan.study.limits,
            n_known=lambda: ledger.n_known,
        )
    page.show(is_last=True)
    return result


def _calls_text(advisor: Advisor | None) -> str:
    """Every exchange with the language model, one JSON object a line."""
    return "".join(f"{json.dumps(asdict(call))}\n" for call in advisor.calls) if advisor else ""


COMMAND = Command(
    tune,
    name="flows.tune",
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


def run() -> int:
    """The script `llmpso-tune`."""
    return main(COMMAND)


if __name__ == "__main__":
    raise SystemExit(main(COMMAND))
