"""As a person does: from the run in Prefect to the run in MLflow, its figures and the champion.

`LLMPSO_PICTURES=.pictures pytest tests/flows/test_browser.py` makes the pictures of the READMEs; a
real language model then takes part.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
PICTURES = os.environ.get("LLMPSO_PICTURES")
SECONDS = 90.0

pytest.importorskip("selenium", reason="package selenium is missing: pip install '.[dev]'")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no browser: apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def addresses(services, prefect_home) -> dict[str, str]:
    """Both servers, started by the project's scripts."""
    folder, (mlflow, prefect) = services.folder, (services.free_port(), services.free_port())
    services.start(
        [str(PROJECT / "mlflow/start.sh")],
        {
            "MLFLOW_PORT": str(mlflow),
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
            "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        },
    )
    services.start(
        [str(PROJECT / "deployments/start.sh")],
        {"PREFECT_SERVER_API_PORT": str(prefect), "PREFECT_HOME": str(prefect_home)},
    )
    services.wait_for(f"http://127.0.0.1:{mlflow}/health")
    services.wait_for(f"http://127.0.0.1:{prefect}/api/health")
    return {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api",
    }


@pytest.fixture(scope="module")
def report(addresses, tmp_path_factory) -> dict[str, Any]:
    """The README's own model, tuned and made the champion, as a command says it."""
    folder = tmp_path_factory.mktemp("own")
    readme = (PROJECT / "flows" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python|yaml)\n(.*?)```", readme, flags=re.DOTALL)
    (code,) = (block for block in blocks if "def held_out" in block)
    (space,) = (block for block in blocks if block.startswith("# own_network.yaml"))
    (folder / "own_network.py").write_text(code)
    (folder / "own_network.yaml").write_text(space)
    own = ["--objective", "own_network:train", "--space-file", "own_network.yaml"]
    effort = ["--evaluations", "24", "--advisor", "embedded" if PICTURES else "none"]
    done = subprocess.run(
        [sys.executable, "-m", "flows.retune", *own, *effort, "--refits", "2", "--json"],
        cwd=folder,
        env=os.environ | addresses | {"PYTHONPATH": os.pathsep.join([str(folder), str(PROJECT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1400,1000")
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def found(browser: Any, xpath: str) -> Any:
    """An element, as soon as the page shows it."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.expected_conditions import visibility_of_element_located
    from selenium.webdriver.support.wait import WebDriverWait

    try:
        return WebDriverWait(browser, SECONDS).until(
            visibility_of_element_located((By.XPATH, xpath))
        )
    except TimeoutException as error:
        shown = browser.find_element(By.TAG_NAME, "body").text
        raise AssertionError(f"no {xpath} at {browser.current_url}, but: {shown}") from error


def keep(browser: Any, name: str) -> None:
    if PICTURES:
        browser.save_screenshot(str(PROJECT / PICTURES / f"{name}.png"))


def test_a_click_leads_from_prefect_to_mlflow_and_to_the_champion(browser, report) -> None:
    study = report["study"]
    browser.get(study["prefect_run"])
    found(browser, "//*[text()='Artifacts']").click()
    found(browser, "//*[text()='leaderboard']")
    found(browser, "//*[text()='report']").click()
    found(browser, "//img[@alt='convergence']")
    keep(browser, "prefect")
    link = found(browser, "//a[text()='The run in MLflow']")
    assert link.get_attribute("href") == study["run_url"]
    link.click()
    browser.switch_to.window(browser.window_handles[-1])
    description = found(browser, "//*[contains(text(), 'A linear model classifies digits')]")
    assert description.is_displayed()
    found(browser, f"//*[self::h1 or self::h2][contains(., '{study['study']}')]")

    base = study["run_url"].partition("#")[0]
    browser.get(f"{base}#/models/{report['model']}")
    found(browser, "//*[text()[contains(., 'champion')]]")


def test_the_figures_are_drawn_where_mlflow_shows_them(browser, report) -> None:
    page, _, query = report["study"]["run_url"].partition("?")
    browser.get(f"{page}/artifacts/figures/study.html?{query}")
    browser.switch_to.frame(found(browser, "//iframe"))
    found(browser, "//*[@id='convergence']//*[contains(@class, 'scatterlayer')]")
    bars = found(browser, "//*[@id='importance']//*[contains(@class, 'barlayer')]")
    assert bars.find_elements("css selector", "g.point path")
    browser.switch_to.default_content()
    keep(browser, "mlflow")
