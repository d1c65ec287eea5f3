from dataclasses import replace

import numpy as np
import pytest

from llmpso.benchmark.surfaces import (
    LAYERS,
    MEASURED,
    SEEDS,
    SURFACES,
    Cell,
    SurfaceFile,
    SurfaceObjective,
    find_surface,
    read_rows,
    read_settings,
    settings,
    train_cell,
)
from llmpso.data.images.textures import load_textures
from llmpso.errors import DataError, SpaceError, SpecError
from llmpso.objectives.cnn import CNNObjective
from llmpso.objectives.torch_threads import limit_threads


@pytest.fixture(scope="module")
def cnn() -> CNNObjective:
    surface = SURFACES["cnn"]
    return CNNObjective(load_textures(), space=surface.space, **surface.options)


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_that_ships_is_whole(name):
    surface = find_surface(name)
    rows = read_rows(surface.file)
    assert len(rows) == len(LAYERS) * len(surface.widths) * len(SEEDS)
    assert not rows.duplicated(["layers", surface.width, "seed"]).any()
    assert np.isfinite(rows).all(axis=None)
    assert (rows["seconds"] > 0).all()
    made_with = read_settings(surface.file)
    assert made_with["options"] == dict(surface.options)
    # A language model reads these.
    assert made_with["description"]
    assert made_with["metric"].startswith("validation")


@pytest.mark.parametrize("name", SURFACES)
def test_a_look_up_is_the_mean_over_the_seeds(name):
    surface, objective = find_surface(name), SurfaceObjective(name)
    params = {"layers": 3, surface.width: surface.widths[7]}
    rows = read_rows(surface.file)
    cell = rows[(rows["layers"] == 3) & (rows[surface.width] == surface.widths[7])]
    evaluation = objective.evaluate(params)
    assert evaluation.value == pytest.approx(cell["value"].mean())
    assert evaluation.metrics["seconds"] == pytest.approx(cell["seconds"].mean())
    assert objective.best == objective.threshold < objective.median
    with pytest.raises(SpaceError, match="layers is 9"):
        objective.evaluate(params | {"layers": 9})


@pytest.mark.parametrize("name", SURFACES)
def test_there_is_more_to_find_than_the_noise_of_the_seeds(name):
    objective, surface = SurfaceObjective(name), SURFACES[name]
    within = read_rows(surface.file).groupby(["layers", surface.width])["value"].std().mean()
    between = np.std([objective.evaluate(p).value for p in objective.space.configurations()])
    assert between > within / np.sqrt(len(SEEDS))


def test_a_training_can_be_repeated(cnn):
    surface, cell = SURFACES["cnn"], Cell(layers=1, width=3, seed=0)
    limit_threads(1)
    row, again = train_cell(surface, cnn, cell), train_cell(surface, cnn, cell)
    assert row | {"seconds": 0} == again | {"seconds": 0}
    assert row["epochs"] == surface.options["max_epochs"]
    # The surface that ships was trained on the same data, by an older recipe.
    made_with = read_settings(surface.file)
    assert made_with["data"] == cnn.describe_data().digest
    assert made_with["fingerprint"] != cnn.fingerprint


def test_a_file_knows_what_is_missing(tmp_path, cnn):
    surface = SURFACES["cnn"]
    made_with = settings(surface, cnn)
    file = SurfaceFile(tmp_path / "new" / "some.csv", surface, made_with)
    cells = list(surface.cells())
    assert file.missing() == cells
    for cell in cells[:2]:
        place = {"layers": cell.layers, "filters": cell.width, "seed": cell.seed}
        file.add(place | dict.fromkeys(MEASURED, 0.5))
    assert SurfaceFile(file.path, surface, made_with).missing() == cells[2:]
    other = made_with | {"fingerprint": "other"}
    with pytest.raises(DataError, match="was made with other settings; name another file"):
        SurfaceFile(file.path, surface, other)


def test_what_is_no_surface_is_refused(tmp_path, cnn):
    (tmp_path / "a.csv").write_text("layers,filters\n")
    with pytest.raises(DataError, match="holds no surface"):
        SurfaceFile(tmp_path / "a.csv", SURFACES["cnn"], settings(SURFACES["cnn"], cnn))
    with pytest.raises(SpecError, match="surface is 'rnn'; it must be one of: lstm, cnn"):
        find_surface("rnn")
    assert replace(SURFACES["cnn"], widths=(4, 8)).space.size == 12
