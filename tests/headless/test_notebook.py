"""What the notebooks' settings cell does with its parameters."""

import os
import shutil

import nbformat
import papermill
import pytest
from conftest import REPO
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import run_kernel

from lite0ca import notebook
from lite0ca.data import sample
from lite0ca.errors import InputError
from lite0ca.machine import environment
from lite0ca.plots.photos import class_counts

STEPS = "from lite0ca.machine.console import bar\nfor step in bar(range(300), 'steps'):\n    pass"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sample_is_drawn_only_when_asked_for(elsewhere, monkeypatch):
    monkeypatch.setattr(sample, "LEAVES", 2)
    config = notebook.settings("basic", {}, "mine.csv")
    assert config.metadata == "mine.csv" and not (elsewhere / "build").exists()
    assert notebook.settings("basic", {}, "sample", "photos").data_dir == "photos"
    assert notebook.settings("basic", {"data_dir": "photos"}, "sample").metadata is None
    assert notebook.settings("basic", {}, None).metadata is None
    assert not (elsewhere / "build").exists()
    config = notebook.settings("basic", {}, "sample")
    assert (elsewhere / config.metadata).is_file()


def test_two_sources_of_data_are_refused(elsewhere):
    with pytest.raises(InputError, match="both name the data"):
        notebook.settings("basic", {}, "mine.csv", "photos")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (("kagle", {}, None), "--preset: 'kagle' is unknown; did you mean 'kaggle'"),
        (("basic", {"epoch": 1}, None), "setting 'epoch' is unknown; did you mean 'epochs'"),
        (("basic", "epochs=1 ema=maybe", None), "setting ema=maybe: takes on or off"),
    ],
)
def test_wrong_parameters_are_named(parameters, message, elsewhere):
    with pytest.raises(InputError, match=message):
        notebook.settings(*parameters)


def test_overrides_as_text(elsewhere):
    config = notebook.settings("mobile", "epochs=1 ema=on base-lr=1e-3 train_limit=none", None)
    assert (config.epochs, config.ema, config.base_lr, config.train_limit) == (1, True, 1e-3, None)


def test_resume_takes_the_runs_settings(tiny_run):
    config = notebook.settings("kaggle", {"resume": str(tiny_run)}, "sample")
    assert (config.preset, config.epochs, config.image_size) == ("basic", 2, 64)
    assert config.resume == str(tiny_run) and config.metadata.endswith("metadata.csv")
    same = {"resume": str(tiny_run), "epochs": 2, "num_workers": 1}
    assert notebook.settings(None, same).num_workers == 1
    with pytest.raises(InputError, match="--epochs cannot change with --resume"):
        notebook.settings(None, same | {"epochs": 3})


@pytest.mark.parametrize("folder", ["notebooks", "lab"])
def test_started_in_notebooks_it_works_from_the_root(folder, elsewhere, monkeypatch):
    (elsewhere / folder).mkdir()
    (elsewhere / "lite0ca").mkdir()
    monkeypatch.chdir(folder)
    notebook.settings("basic", {}, None)
    assert notebook.Path.cwd() == elsewhere


def test_parameters_that_papermill_added_are_compared_with_the_cell_before(monkeypatch):
    shell = InteractiveShell.instance()
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    own = "preset = 'basic'  # or mobile\noverrides = {}"
    monkeypatch.setitem(shell.user_ns, "In", ["", own, "# Parameters\npreset = 'mobile'\n"])
    notebook.refuse_unknown_parameters()
    monkeypatch.setitem(shell.user_ns, "In", ["", own, "# Parameters\novverrides = {}\n"])
    with pytest.raises(InputError, match="'ovverrides' is unknown; did you mean 'overrides'"):
        notebook.refuse_unknown_parameters()


PATHS = {"metadata": "../mine/x.csv", "run": "results/a", "preset": "basic", "systems": ["run"]}


@pytest.mark.parametrize("place", ["notebooks", ".", "third"])
def test_paths_that_papermill_added_are_meant_where_it_was_called(place, elsewhere, monkeypatch):
    """Also from a second call in the same kernel, which has left that folder."""
    shell = InteractiveShell.instance()
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    for folder in ("notebooks", "lite0ca", "third"):
        (elsewhere / folder).mkdir()
    start = elsewhere / place
    monkeypatch.chdir(start)
    (start / "leaves").mkdir()
    monkeypatch.setenv("LITE0CA_DATA", "leaves")
    notebook.started_in.cache_clear()
    own = "\n".join(f"{name} = None" for name in [*PATHS, "overrides", "data_dir"])
    overrides = {"weights": "~/w.pt", "cache_dir": "/kept", "output_dir": "out", "epochs": 2}
    for given in (overrides, "weights=~/w.pt cache_dir=/kept output_dir=out epochs=2"):
        added = PATHS | {"overrides": given}
        cell = notebook.INJECTED + "".join(f"\n{name} = {v!r}" for name, v in added.items())
        monkeypatch.setitem(shell.user_ns, "In", ["", own, cell])
        for name, value in added.items():
            monkeypatch.setitem(shell.user_ns, name, value)
        config = notebook.settings("basic", given, added["metadata"])
        assert config.metadata == f"{start}/../mine/x.csv"
        home = notebook.os.path.expanduser("~")
        assert (config.weights, config.cache_dir) == (f"{home}/w.pt", "/kept")
        assert (config.output_dir, config.epochs) == (f"{start}/out", 2)
        assert shell.user_ns["run"] == f"{start}/results/a"
        assert (shell.user_ns["preset"], shell.user_ns["systems"]) == ("basic", ["run"])
    data = notebook.os.environ["LITE0CA_DATA"]
    assert notebook.Path(data).resolve() == start / "leaves"
    # What the notebook says itself means the same as for the script.
    monkeypatch.setitem(shell.user_ns, "In", ["", own])
    assert notebook.settings("basic", {"weights": "w.pt"}, "x.csv").metadata == "x.csv"
    notebook.started_in.cache_clear()


def test_the_sample_that_papermill_asks_for(elsewhere, monkeypatch):
    shell = InteractiveShell.instance()
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    notebook.started_in.cache_clear()
    cells = ["", "metadata = 1\ndata_dir = 1", "# Parameters\nmetadata = 1\ndata_dir = 1"]
    monkeypatch.setitem(shell.user_ns, "In", cells)
    config = notebook.settings("basic", {}, "sample", "photos/{0..9}.tar")
    assert config.data_dir == f"{elsewhere}/photos/{{0..9}}.tar" and config.metadata is None
    notebook.started_in.cache_clear()


def test_the_table_says_what_differs_from_the_defaults_and_who_set_it(elsewhere):
    config = notebook.settings("mobile", {"epochs": 3}, "mine.csv")
    table = notebook.table(config)
    assert table.loc["image_size"].tolist() == ["192", "224", "preset mobile"]
    assert table.loc["epochs"].tolist() == ["3", "15", "override"]
    assert table.loc["metadata"].tolist() == ["mine.csv", "", "override"]
    assert "batch_size" not in table.index
    whole = notebook.table(config, all=True)
    assert whole.loc["batch_size"].tolist() == ["96", "96", ""]
    assert "train_limit" not in whole.index and set(table.index) < set(whole.index)


@pytest.mark.parametrize("output", ["lite0ca-03-train", "notebooks/ann/lite0ca-03-train"])
def test_a_run_attached_on_kaggle_is_taken_and_is_no_data(
    output, tiny_run, elsewhere, monkeypatch, capsys
):
    monkeypatch.setattr(environment, "KAGGLE_INPUT", elsewhere / "input")
    assert notebook.attached_run({}) is None
    (elsewhere / "input/leaves").mkdir(parents=True)
    shutil.copytree(tiny_run, elsewhere / "input" / output / "results/RUN")
    assert environment.kaggle_folders() == [elsewhere / "input/leaves"]
    for typed in (({"epochs": 1},), ("epochs=1",), ({}, "mine.csv"), ({}, None, "my_photos")):
        assert notebook.attached_run(*typed) is None
        assert "is not taken" in capsys.readouterr().out
    assert notebook.attached_run({}) == notebook.attached_run({}, "sample") == "results/RUN"
    assert (elsewhere / "results/RUN/best_model.pt").is_file()
    assert "attached run: " in capsys.readouterr().out


def test_photos_in_the_output_of_a_kernel_are_data(elsewhere, monkeypatch):
    monkeypatch.setattr(environment, "KAGGLE_INPUT", elsewhere / "input")
    photos = elsewhere / "input/notebooks/ann/crops"
    (photos / "blast").mkdir(parents=True)
    assert environment.kaggle_folders() == [photos]


def test_an_interrupted_copy_of_an_attached_run_is_none(tiny_run, elsewhere, monkeypatch):
    monkeypatch.setattr(environment, "KAGGLE_INPUT", elsewhere / "input")
    shutil.copytree(tiny_run, elsewhere / "input/a/results/RUN")

    def interrupted(_, target, **__):
        (target / "config.json").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(notebook.shutil, "copytree", interrupted)
        notebook.attached_run({})
    assert not (elsewhere / "results").exists()
    assert (elsewhere / notebook.attached_run({}) / "best_model.pt").is_file()


def test_the_preset_of_drawings_says_so_of_photos(elsewhere, capsys):
    notebook.settings("sample", {}, "mine.csv")
    assert 'take "robust"' in capsys.readouterr().out
    notebook.settings("robust", {}, "mine.csv")
    assert capsys.readouterr().out == ""


def test_pictures_are_on_white():
    figure = class_counts(["a", "b", "a"], ["train", "train", "valid"])
    assert notebook.picture(figure).data[:4] == b"\x89PNG"
    assert notebook.picture(figure, format="jpeg").data[:2] == b"\xff\xd8"


def test_papermill_stores_no_bars(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(STEPS)])
    nbformat.write(content, tmp_path / "in.ipynb")
    done = papermill.execute_notebook(
        tmp_path / "in.ipynb", tmp_path / "out.ipynb", kernel_name="python3", progress_bar=False
    )
    assert done.cells[0].outputs == []


def test_a_person_sees_bars_with_an_end():
    """As JupyterLab asks: it could pass a question on, and says so with each cell. Text, or what
    ipywidgets draws where it is installed, as on Kaggle.
    """
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    with run_kernel(env=environment | {"PYTHONPATH": str(REPO)}) as client:
        shown = []
        client.execute_interactive(STEPS, allow_stdin=True, output_hook=shown.append, timeout=60)
    text = "".join(str(message["content"]) for message in shown)
    assert "steps: " in text and "/300" in text
