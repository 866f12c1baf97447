"""Files from strangers: nothing in them is run, and nothing is believed before it is checked.

Each damaged fact, in a checkpoint, an exported file, a run's folder, ends in one line with exit
code 2 (or goes on without it, and says so), never in a traceback or a crash.
"""

import json
import os
import pickle
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from conftest import FAST, LITTLE, TRIES

from lite0ca.__main__ import main
from lite0ca.formats.opening import NEEDED

NO = object()  # the fact is not there
# Damaged values, the likeliest first; all of them in `make trust`.
ODD = [NO, None, -1, 1.5, float("nan"), "../../x", {"a": 1}, 10**30, {"a": 0, "b": 2}]


@pytest.fixture(scope="module")
def run(leaves, tmp_path_factory) -> Path:
    """A finished run of two epochs."""
    out = tmp_path_factory.mktemp("strangers")
    arguments = ["--data-dir", str(leaves), "--output-dir", str(out), "--epochs", "2"]
    arguments += ["--backbone", LITTLE["backbone"]]
    assert main(["train", *FAST, *arguments]) == 0
    return next(out.iterdir())


@pytest.fixture
def answer(capsys):
    """(exit code, stdout, stderr) of a command; a refusal must be one line."""

    def ask(*arguments):
        code = main(list(map(str, arguments)))
        shown = capsys.readouterr()
        assert code in (0, 2), shown.err
        if code:
            assert shown.err.startswith("error: ") and shown.err.count("\n") == 1, shown.err
        return code, shown.out, shown.err

    return ask


def changed(content: dict, name: str, value) -> dict:
    rest = {key: kept for key, kept in content.items() if key != name}
    return rest if value is NO else rest | {name: value}


def some_of(cases: list) -> list:
    """Every fourth case, and all of them in `make trust`."""
    return cases[:: 1 if TRIES >= 10 else 4]


def test_each_fact_of_a_checkpoint_is_checked(run, leaves, tmp_path, answer):
    best = torch.load(run / "best_model.pt", weights_only=True)
    photo, file = leaves / "blast/00.jpg", tmp_path / "best_model.pt"
    believed = []
    metadata = [name for name in best if name not in ("model", "fingerprint")]
    cases = [(name, changed(best, name, odd), odd) for name in metadata for odd in ODD[: 4 * TRIES]]
    for part in ("config", "system"):
        for name in best[part]:
            for odd in ({"a": 1}, NO, -1, 1.5, "../../x")[:TRIES]:
                inner = changed(best[part], name, odd)
                cases.append((f"{part}.{name}", best | {part: inner}, odd))
    for name, content, odd in some_of(cases):
        torch.save(content, file)
        if answer("predict", file, photo)[0] == 0 and odd is not NO:
            believed.append((name, repr(odd)))
    # What may stand there: an epoch is only shown, `sure_from` may be unknown, names are texts.
    texts = {"metadata", "label2id", "data_dir", "weights", "cache_dir", "output_dir", "resume"}
    texts = {f"config.{name}" for name in (*texts, "backbone")}
    numbers = ("grad_clip", "warmup_epochs", "base_lr", "head_lr", "weight_decay", "time_budget")
    numbers = {f"config.{name}" for name in (*numbers, "cache_limit_gb")} | {"temperature"}
    wrong = [
        (name, odd)
        for name, odd in believed
        if (name, odd) != ("sure_from", "None")
        and not (name in texts and odd == "'../../x'")
        and not (name in numbers and odd == "1.5")
    ]
    assert wrong == []
    assert len(cases) > 70


def test_weights_that_do_not_fit_or_are_not_finite(run, leaves, tmp_path, answer):
    best = torch.load(run / "best_model.pt", weights_only=True)
    name, value = next(iter(best["model"].items()))
    for odd in (NO, None, "x", torch.zeros(2), torch.full_like(value, float("nan"))):
        torch.save(best | {"model": changed(best["model"], name, odd)}, tmp_path / "b.pt")
        assert answer("predict", tmp_path / "b.pt", leaves)[0] == 2
    torch.save(best | {"model": best["model"] | {"more": value}}, tmp_path / "b.pt")
    assert answer("predict", tmp_path / "b.pt", leaves)[0] == 2
    torch.save(best | {"label2id": {"a": 0, "b": 1, "c": 2}}, tmp_path / "b.pt")
    assert "does not fit" in answer("predict", tmp_path / "b.pt", leaves)[2]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("command", ["predict", "evaluate", "export", "weights", "resume"])
def test_code_in_a_pickle_does_not_run(command, run, leaves, tmp_path, answer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stolen = Path(shutil.copytree(run, "stolen"))
    best = torch.load(run / "best_model.pt", weights_only=True)
    torch.save(best | {"epoch": Evil()}, stolen / "best_model.pt")
    torch.save(best | {"epoch": Evil()}, stolen / "last.pt")
    Path("plain.pt").write_bytes(pickle.dumps(Evil()))
    for file in (stolen / "best_model.pt", Path("plain.pt")):
        arguments = {
            "predict": ["predict", file, leaves],
            "evaluate": ["evaluate", file, "--data-dir", leaves],
            "export": ["export", file],
            "weights": ["train", *FAST, "--data-dir", leaves, "--weights", file],
            "resume": ["train", "--resume", stolen],
        }
        assert answer(*arguments[command])[0] == 2
        assert not os.path.exists("pwned")


@pytest.mark.parametrize("command", ["predict", "evaluate", "export", "adapt"])
def test_a_torchscript_program_is_never_opened(command, tmp_path, answer, leaves):
    class Writes(torch.nn.Module):
        def forward(self, x: torch.Tensor):
            torch.save(x, "pwned.pt")
            return x

    file = tmp_path / "evil.torchscript"
    with warnings.catch_warnings(action="ignore"):  # torch has deprecated its own format
        torch.jit.save(torch.jit.script(Writes()), file)
    photos = {"predict": [leaves], "adapt": [leaves]}.get(command, [])
    code, _, said = answer(command, file, *photos)
    assert code == 2 and "runs no TorchScript any more" in said
    assert sorted(tmp_path.iterdir()) == [file]


def test_each_fact_of_a_run_to_resume_is_checked(run, leaves, tmp_path, answer):
    last = torch.load(run / "last.pt", weights_only=True)
    last["epoch"], last["best_epoch"] = 1, 1
    last["history"] = {name: curve[:1] for name, curve in last["history"].items()}
    stolen = tmp_path / "run"
    optimizer = last["optimizer"]
    short = {n: {**m, "exp_avg": torch.zeros(1)} for n, m in optimizer["state"].items()}
    weight = next(iter(last["model"]))
    nan = torch.full_like(last["model"][weight], float("nan"))
    cases = some_of([{name: odd} for name in last for odd in ("x", None, -1)[:TRIES]])
    cases += [{"optimizer": optimizer | {"state": short}}]  # the fused step would read beyond them
    cases += [{"model": last["model"] | {weight: nan}}]
    cases += [{"history": last["history"] | {"valid_f1": ["x"]}}, {"history": {}}]
    went_on = []
    for case in cases:
        shutil.rmtree(stolen, ignore_errors=True)
        shutil.copytree(run, stolen)
        torch.save(last | case, stolen / "last.pt")
        if answer("train", "--resume", stolen)[0] == 0:
            went_on += case
    # A scaler is of float16 alone, and without EMA nothing reads its place.
    assert set(went_on) <= {"scaler", "ema"}


@pytest.mark.parametrize("name", ["config.json", "data.csv", "last.pt"])
@pytest.mark.parametrize("damage", ["gone", "empty", "half", "junk", "list", "folder"])
def test_a_damaged_run_folder_is_refused(name, damage, run, tmp_path, answer):
    stolen = Path(shutil.copytree(run, tmp_path / "run"))
    file = stolen / name
    whole = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "gone":
        how = {"empty": b"", "half": whole[: len(whole) // 2], "junk": b"\xff\0{", "list": b"[]"}
        file.write_bytes(how[damage])
    code, _, err = answer("train", "--resume", stolen)
    assert code == 2 and (name in err or "run" in err)


# --- exported files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(run) -> Path:
    pytest.importorskip("onnx")
    assert main(["export", str(run), "--num-workers", "0"]) in (0, 4)
    return run / "export" / f"MobileNetV3_Small_backbone-{LITTLE['backbone']}.onnx"


def test_each_fact_of_an_exported_file_is_checked(exported, leaves, tmp_path, answer):
    import onnx

    model = onnx.load(exported)
    metadata = {one.key: one.value for one in model.metadata_props}
    odd = [NO, "junk{", "null", "-1", "[]", "{}", '"x"', "NaN", '{"a":0,"b":2}', '"../../x"']
    two = {"label2id": '{"a":0,"b":1,"c":2}', "classes": '["a","b","c"]'}
    checked = [*NEEDED, "temperature", "sure_from", "drawn_sample"]
    cases = [changed(metadata, name, value) for name in checked for value in odd[: 4 * TRIES]]
    cases = [*some_of(cases), metadata | two]
    file, passed = tmp_path / "x.onnx", []
    for case in cases:
        onnx.helper.set_model_props(model, case)
        onnx.save(model, file)
        if answer("predict", file, leaves / "blast/00.jpg")[0] == 0:
            passed += [(k, case.get(k)) for k in metadata if case.get(k) != metadata[k]]
    # `name` and `version` are only shown; no temperature is one of 1.
    free = {(name, None) for name in ("temperature", "sure_from", "drawn_sample")}
    assert set(passed) - free <= {("sure_from", "null")}


def test_an_exported_file_reads_no_other_file(exported, leaves, tmp_path, answer):
    import onnx

    (tmp_path / "secret").write_bytes(bytes(1_000_000))
    (tmp_path / "in").mkdir()
    model = onnx.load(exported)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    place = weight.external_data.add()
    place.key, place.value = "location", "../secret"
    (tmp_path / "in/x.onnx").write_bytes(model.SerializeToString())
    assert answer("predict", tmp_path / "in/x.onnx", leaves)[0] == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"checkpoint_sha256": 1}', "files"])
def test_a_damaged_report_of_exports_is_not_believed(text, exported, run, leaves, tmp_path, answer):
    stolen = Path(shutil.copytree(run, tmp_path / "run"))
    report = stolen / "export/export_report.json"
    row = {"form": "onnx", "passed": True, "file": "../../../secret.onnx", "latency_ms": 1}
    made = json.loads(report.read_text()) | {"files": [row | {"times_torch": 1}]}
    report.write_text(json.dumps(made) if text == "files" else text)
    code, out, _ = answer("predict", stolen, leaves / "blast/00.jpg")
    assert code == 0 and "secret" not in out


def test_random_damage_to_an_exported_file(exported, leaves, tmp_path, answer):
    """What ONNX Runtime takes in spite of it may answer; nothing crashes."""
    whole, file = exported.read_bytes(), tmp_path / "x.onnx"
    for seed in range(8 * TRIES):
        torch.manual_seed(seed)
        damaged = bytearray(whole)
        for place in torch.randint(0, len(whole) // 10, (5,)).tolist():
            damaged[place] ^= 1 + seed
        file.write_bytes(damaged)
        answer("predict", file, leaves / "blast/00.jpg")
    for share in (0, 0.01, 0.5, 0.999):
        file.write_bytes(whole[: int(len(whole) * share)])
        assert answer("predict", file, leaves / "blast/00.jpg")[0] == 2
