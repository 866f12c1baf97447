"""Benchmarks: right columns, right arithmetic, scores from runs, conditions in the names."""

import json

import input_pipeline
import numpy as np
import pandas as pd
import pytest
import torch

from lite0ca.errors import InputError
from lite0ca.machine.cuda_graphs import Replayed
from lite0ca.machine.memory import peak_memory_mb
from lite0ca.plots.speed import accuracy_against_cost, pareto_front
from lite0ca.settings.config import Config
from lite0ca.speed import systems
from lite0ca.speed.timing import LEAST, summary

TWO = ["MobileNetV3_Small", "EfficientNet_Lite0_CA"]


def test_the_command_writes_table_and_plots(tmp_path, script):
    write_run(tmp_path / "runs/a", "MobileNetV3_Small", 0.5)
    done = script(
        *("bench", *TWO, "--image-size", 64, "--batch-size", 2, "--rounds", 2),
        *("--seconds", 0, "--device", "cpu", "--output-dir", tmp_path),
        *("--results", tmp_path / "runs"),
        module="lite0ca",
    )
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*.csv")
    assert "64px-batch2-cpu" in file.name and f"torch{torch.__version__[:3]}" in file.name
    assert len(list(tmp_path.glob("*.png"))) == 2
    table = pd.read_csv(file)
    assert set(table["system"]) == set(TWO)
    threads = {1, torch.get_num_threads()}
    assert table["setup"].nunique() == len(threads)
    mine = table[table["system"] == "EfficientNet_Lite0_CA"].iloc[0]
    assert mine["parameters"] == 3_686_132
    assert mine["size_mb"] == pytest.approx(4 * 3_686_132 / 1e6, rel=0.02)  # and BatchNorm's
    assert mine["guide_t4_images_per_s"] == 612
    assert mine["latency_n"] == mine["batches_n"] == 2 * LEAST
    assert (table["latency_p95_ms"] >= table["latency_ms"]).all()
    assert (table["images_per_s"] >= table["images_per_s_p5"]).all()
    scored = table.loc[table["valid_macro_f1"] == 0.5, "system"]
    assert set(scored) == {"MobileNetV3_Small"} and table["valid_macro_f1"].isna().any()
    assert torch.get_num_threads() == max(threads)


def test_latency_and_throughput_by_hand():
    row = summary([0.01, 0.02, 0.03], [0.1, 0.2, 0.4], batch_size=8)
    assert row["latency_ms"] == pytest.approx(20) and row["latency_n"] == 3
    assert row["images_per_s"] == pytest.approx(40)
    assert row["images_per_s_p5"] == pytest.approx(8 / np.percentile([0.1, 0.2, 0.4], 95))


def write_run(folder, name, f1, data="leaves", stopped="all epochs done", **config):
    folder.mkdir(parents=True)
    metrics = {"model_name": name, "data": data, "valid_f1": f1, "valid_acc": f1}
    for file, content in (
        ("metrics", metrics | {"stopped": stopped}),
        ("config", Config.of(**config).as_dict()),
        ("environment", {"data_fingerprint": data}),
    ):
        (folder / f"{file}.json").write_text(json.dumps(content))


def test_scores_are_the_mean_over_a_systems_runs(tmp_path):
    write_run(tmp_path / "a", "ResNet18", 0.5)
    write_run(tmp_path / "b", "ResNet18", 0.7)
    write_run(tmp_path / "c", "EfficientNet_Lite0", 0.8)
    write_run(tmp_path / "d", "ResNet18", 0.1, stopped=None)  # killed
    write_run(tmp_path / "e", "ResNet18", 0.1, stopped="the time budget of 5 minutes")
    scores = systems.scores_in(tmp_path)
    assert scores["ResNet18"]["valid_macro_f1"] == pytest.approx(0.6)
    assert scores["ResNet18"]["runs"] == 2 and scores["EfficientNet_Lite0"]["runs"] == 1


def test_scores_of_different_data_are_not_put_side_by_side(tmp_path):
    write_run(tmp_path / "a", "ResNet18", 0.5)
    write_run(tmp_path / "b", "EfficientNet_Lite0", 0.7, data="other leaves")
    with pytest.raises(InputError, match="its runs differ in data"):
        systems.scores_in(tmp_path)
    (tmp_path / "a/metrics.json").write_text("{")
    with pytest.raises(InputError, match="no metrics file"):
        systems.scores_in(tmp_path)


def test_scores_of_different_recipes_are_not_put_side_by_side(tmp_path):
    write_run(tmp_path / "a", "ResNet18", 0.5, seed=1)
    write_run(tmp_path / "b", "ResNet18", 0.7, seed=2, num_workers=0)
    assert systems.scores_in(tmp_path)["ResNet18"]["runs"] == 2
    write_run(tmp_path / "c", "EfficientNet_Lite0_CA", 0.7, image_size=192)
    with pytest.raises(InputError, match="its runs differ in --image-size"):
        systems.scores_in(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["ResNet19"]}, "did you mean 'ResNet18'"),
        ({"rounds": 0}, "--rounds must be at least 1"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"seconds": float("nan")}, "--seconds must be"),
        ({"results": "nowhere"}, "--results nowhere: there is no such folder"),
    ],
)
def test_wrong_input(arguments, message):
    with pytest.raises(InputError, match=message):
        systems.benchmark(
            **{
                "names": (), "config": Config(), "batch_size": 2, "rounds": 1, "seconds": 0.01,
                "results": None, **arguments,
            }
        )  # fmt: skip


def test_mixed_precision_is_a_setup_and_in_the_name():
    config = Config.of(amp=True, device="cpu")
    assert all(setup.name.endswith("mixed precision") for setup in systems.setups_of(config))
    assert "-amp-" in systems.file_name(config, 32)
    assert "-2_systems-" in systems.file_name(Config.of(device="cpu"), 32, TWO)
    assert "-amp-" not in systems.file_name(Config.of(device="cpu"), 32)


def test_on_cuda_both_ways_to_launch_are_setups(monkeypatch):
    monkeypatch.setattr(systems, "device_of", torch.device)
    setups = systems.setups_of(Config.of(device="cuda"))
    names = ["cuda", "cuda graph", "cuda, mixed precision", "cuda graph, mixed precision"]
    assert [setup.name for setup in setups] == names
    assert [isinstance(setup.asked(torch.nn.Identity()), Replayed) for setup in setups] == (
        [False, True] * 2
    )


def test_peak_memory_sees_what_is_held_at_once():
    peak = peak_memory_mb(lambda: torch.ones(50_000_000), torch.device("cpu"))
    if peak is None:
        pytest.skip("only Linux says")
    assert 180 < peak < 320  # 200 MB, and glibc's top pad of 67


def test_the_pareto_front_by_hand():
    cost, score = [1, 2, 3, 4, 4], [0.5, 0.7, 0.6, 0.9, 0.9]
    assert pareto_front(cost, score).tolist() == [True, True, False, True, True]
    assert pareto_front([1, 1, 2], [0.5, 0.6, 0.6]).tolist() == [False, True, False]


def test_plots_name_systems_with_a_score_and_mark_the_cost_of_others():
    table = pd.DataFrame(
        {"system": ["A", "B", "C"], "latency_ms": [1, 2, 3], "parameters": [10, 20, 30]}
    ).assign(valid_macro_f1=[0.5, np.nan, 0.7])
    for scores, names in ((table, ["A", "C"]), (table.assign(valid_macro_f1=np.nan), [])):
        figure = accuracy_against_cost(scores, "valid_macro_f1", "title")
        *panels, beside = figure.axes
        numbers = [str(number) for number in range(1, 1 + len(names))]
        for panel in panels:
            assert [text.get_text() for text in panel.texts] == numbers
        assert beside.texts[0].get_text().split() == [*sum(zip(numbers, names), ())]
        listed = [text.get_text() for text in figure.legends[0].get_texts()]
        assert f"the cost of {3 - len(names)} without a score" in listed


def test_the_loader_beside_torchvision(sample, capsys):
    """Every stage has a speed, the ratios are to torchvision, and nothing is left behind."""
    arguments = ["--metadata", str(sample), "--image-size", "64", "--rounds", "1"]
    assert input_pipeline.main([*arguments, "--num-workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = lambda name: next(line.split() for line in lines if name in line)  # noqa: E731
    assert row("torchvision: both")[-1] == row("torchvision ImageFolder, epoch 1")[-1] == "1.0"
    speed = lambda name: float(row(name)[-2].replace(",", ""))  # noqa: E731
    both = 1 / (1 / speed("torchvision: decode") + 1 / speed("torchvision: augment"))
    assert speed("torchvision: both") == pytest.approx(both, rel=0.02)
    for name in ("read the cache", "augment", "no cache, epoch 1", "cache, epoch 2 and on"):
        assert speed(name) > 0
    assert input_pipeline.main([*arguments[:4], "--rounds", "0"]) == 2
