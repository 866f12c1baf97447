"""Files from strangers: nothing in them is run, and nothing is believed before it is checked.

Each damaged fact, in a checkpoint, an exported file, a run's folder, ends in one line with exit
code 2 (or goes on without it, and says so), never in a traceback or a crash.
"""

import io
import json
import os
import pickle
import shutil
import socket
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FAST, LITTLE, TRIES

from lite0ca import __version__
from lite0ca.__main__ import main
from lite0ca.formats import seal
from lite0ca.formats.exported_file import NEEDED

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
    # What may stand there: an epoch is only shown, `sure_from` and `distance` may be unknown,
    # names are texts.
    texts = {"metadata", "label2id", "data_dir", "weights", "cache_dir", "output_dir", "resume"}
    texts = {f"config.{name}" for name in (*texts, "backbone")}
    numbers = ("grad_clip", "warmup_epochs", "base_lr", "head_lr", "weight_decay", "time_budget")
    numbers = {f"config.{name}" for name in (*numbers, "cache_limit_gb")} | {"temperature"}
    wrong = [
        (name, odd)
        for name, odd in believed
        if (name, odd) not in (("sure_from", "None"), ("distance", "None"))
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


def archive(pickled: bytes, *more: tuple[str, bytes], **how) -> bytes:
    """A zip as torch.save writes it, around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **how) as target, warnings.catch_warnings(action="ignore"):
        for name, content in (("data.pkl", pickled), ("version", b"3"), *more):
            target.writestr(f"archive/{name}", content)
    return file.getvalue()


DEFLATED = {"compression": zipfile.ZIP_DEFLATED}
ENDLESS = [1]
for _ in range(50):
    ENDLESS = [ENDLESS] * 10
HOSTILE = {
    "empty": b"",
    "one byte": b"P",
    "an empty zip": b"PK\5\6" + bytes(18),
    "no end": archive(b"\x80\2}"),
    "a mark missing": archive(b"\x80\2a."),
    "marks": archive(b"\x80\2" + b"(" * 200_000 + b"."),
    "a memo out of range": archive(b"\x80\2h\5."),
    "deep": archive(b"\x80\2" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "a hundred gigabytes": archive(b"\x80\2cbuiltins\nbytearray\n\x8a\6\0\0\0\0\x17\0\x85R."),
    "one name twice": archive(b"\x80\2}.", ("data.pkl", b"\x80\2}.")),
    "one name in two cases": archive(b"\x80\2}.", ("DATA.PKL", b"\x80\2}.")),
    "a zip bomb": archive(bytes(10**7), **DEFLATED),
    "a program": archive(b"\x80\2}.", ("constants.pkl", b"\x80\2}.")),
    "a billion values": {"config": ENDLESS},
    "a number of 4,000 digits": {"epoch": 10**4000},
    "a set": {"epoch": {1}},
    "sparse": torch.eye(3).to_sparse(),
    "of no device": torch.zeros(3, device="meta"),
    "larger than its numbers": torch.zeros(1).expand(10**6, 10**6),
    "another network's": torch.zeros(7),
    "another backbone of gigabytes": {"system": {"backbone": "convnext_xxlarge"}},
    "a name of no class": {"names": {"blast": {"en": "x"}, "other": {"en": "y"}}},
    "too many classes": {"label2id": {str(number): number for number in range(100_001)}},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_checkpoint_is_one_line_at_once(what, run, leaves, tmp_path, answer):
    odd, file = HOSTILE[what], tmp_path / "best_model.pt"
    if isinstance(odd, bytes):
        file.write_bytes(odd)
        weights = ["train", *FAST, "--data-dir", leaves, "--output-dir", tmp_path, "--weights"]
        assert answer(*weights, file)[0] == 2
    else:
        best = torch.load(run / "best_model.pt", weights_only=True)
        if isinstance(odd, torch.Tensor):
            odd = {"model": best["model"] | {next(iter(best["model"])): odd}}
        if "system" in odd:
            odd = {"system": best["system"] | odd["system"]}
        torch.save(best | odd, file)
    code, _, err = answer("predict", file, leaves)
    assert code == 2 and "weights_only" not in err


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


@pytest.mark.parametrize("command", ["predict", "evaluate", "export", "adapt", "label"])
def test_a_torchscript_program_is_never_opened(command, tmp_path, answer, leaves):
    class Writes(torch.nn.Module):
        def forward(self, x: torch.Tensor):
            torch.save(x, "pwned.pt")
            return x

    file = tmp_path / "evil.torchscript"
    with warnings.catch_warnings(action="ignore"):  # torch has deprecated its own format
        torch.jit.save(torch.jit.script(Writes()), file)
    photos = {name: [leaves] for name in ("predict", "adapt", "label")}.get(command, [])
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


def unsealed(file: Path):
    """An ONNX file to be changed: without a seal, as strangers and version 0.2 write them."""
    import onnx

    model = onnx.load(file)
    kept = [one for one in model.metadata_props if one.key != seal.NAME]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return model


def test_each_fact_of_an_exported_file_is_checked(exported, leaves, tmp_path, answer):
    import onnx

    model = unsealed(exported)
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
    model = unsealed(exported)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    place = weight.external_data.add()
    place.key, place.value = "location", "../secret"
    (tmp_path / "in/x.onnx").write_bytes(model.SerializeToString())
    assert answer("predict", tmp_path / "in/x.onnx", leaves)[0] == 2


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"checkpoint_sha256": 1}', "files"])
def test_a_damaged_report_of_exports_is_not_believed(text, exported, run, leaves, tmp_path, answer):
    stolen = Path(shutil.copytree(run, tmp_path / "run"))
    report = stolen / "export/export_report.json"
    row = {"form": "onnx", "passed": True, "file": "../../../secret.onnx", "latency_ms": 1}
    made = json.loads(report.read_text()) | {"files": [row | {"times_torch": 1}]}
    del made[seal.NAME]
    report.write_text(json.dumps(made) if text == "files" else text)
    code, out, err = answer("predict", stolen, leaves / "blast/00.jpg")
    assert "secret" not in out and "answered by" not in out
    if text in ("", "[]", "null"):
        assert code == 2 and "is damaged; export again" in err
    else:  # as version 0.2 wrote it: nothing in it can be checked
        assert code == 0 and "without checksums; export again to use it" in out


def test_random_damage_to_an_exported_file(exported, leaves, tmp_path, answer):
    whole, file = exported.read_bytes(), tmp_path / "x.onnx"
    for seed in range(8 * TRIES):
        torch.manual_seed(seed)
        damaged = bytearray(whole)
        for place in torch.randint(0, len(whole) // 10, (5,)).tolist():
            damaged[place] ^= 1 + seed
        file.write_bytes(damaged)
        assert answer("predict", file, leaves / "blast/00.jpg")[0] == 2
    for share in (0, 0.01, 0.5, 0.999):
        file.write_bytes(whole[: int(len(whole) * share)])
        assert answer("predict", file, leaves / "blast/00.jpg")[0] == 2


@pytest.mark.parametrize("odd", ["If", "function", "another file"])
def test_an_onnx_file_that_could_have_no_end_is_refused(odd, exported, leaves, tmp_path, answer):
    import onnx

    model = unsealed(exported)
    if odd == "If":
        branch = onnx.helper.make_graph([], "branch", [], [])
        node = onnx.helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch)
        model.graph.node.append(node)
    elif odd == "function":
        model.functions.add().name = "f"
    else:
        model.graph.initializer[0].external_data.add().key = "location"
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    code, _, err = answer("predict", tmp_path / "x.onnx", leaves)
    assert code == 2 and any(w in err for w in ("a loop", "functions", "in another file"))


def test_an_onnx_file_that_wants_all_memory_is_refused(exported, leaves, tmp_path, capfd):
    import onnx
    from onnx import helper

    model = unsealed(exported)
    output = model.graph.output[0]
    inner = output.name + "_before"
    for node in model.graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
    size = onnx.numpy_helper.from_array(np.array([2**40], np.int64), "size")
    model.graph.initializer.append(size)
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", [inner], ["largest"], keepdims=0),
            helper.make_node("Expand", ["largest", "size"], ["huge"]),
            helper.make_node("ReduceMax", ["huge"], ["one"], keepdims=0),
            helper.make_node("Add", [inner, "one"], [output.name]),
        ]
    )
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    code = main(["predict", str(tmp_path / "x.onnx"), str(leaves)])
    shown = capfd.readouterr().err  # of ONNX Runtime as well, which has colours
    assert code == 2 and shown.startswith("error: ") and shown.count("\n") == 1, shown


# --- damage ----------------------------------------------------------------------------------


def flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def bits_of(content: bytes, *places: bytes) -> list[int]:
    """Random bits, and one in each place that says what the rest is checked by."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 8 * len(content), 3 * TRIES).tolist()
    return bits + [8 * content.index(place) + 8 * (len(place) // 2) + 2 for place in places]


@pytest.mark.parametrize("name", ["best_model.pt", "last.pt", "config.json", "data.csv"])
def test_one_flipped_bit_in_a_run_is_noticed(name, run, leaves, tmp_path, answer):
    stolen = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(stolen / "export", ignore_errors=True)
    whole = (stolen / name).read_bytes()
    command = ["train", "--resume", stolen]
    command = ["predict", stolen, leaves / "blast"] if name == "best_model.pt" else command
    marks = (seal.MARK,) if name.endswith(".pt") else (b"42",) if name == "config.json" else ()
    for bit in bits_of(whole, *marks):
        (stolen / name).write_bytes(flipped(whole, bit))
        code, _, err = answer(*command)
        assert code == 2 and name in err, bit
    (stolen / name).write_bytes(whole)
    assert answer(*command)[0] == 0
    if name == "data.csv":
        (stolen / name).write_bytes(flipped(whole, bit))
        assert "is damaged" in answer("evaluate", stolen, "--split", "valid")[2]


def test_one_flipped_bit_in_an_exported_file_is_noticed(exported, leaves, tmp_path, answer):
    whole, file = exported.read_bytes(), tmp_path / "x.onnx"
    marks = (
        seal.MARK,
        b"seal",
        f'"{__version__}'.encode(),
        whole[whole.index(seal.MARK) + 20 :][:64],
    )
    for bit in bits_of(whole, *marks):
        file.write_bytes(flipped(whole, bit))
        code, _, err = answer("predict", file, leaves / "blast/00.jpg")
        assert code == 2 and "x.onnx: is damaged" in err and "export again" in err, bit


def test_only_files_that_were_proved_answer_for_a_run(exported, run, leaves, tmp_path, answer):
    stolen = Path(shutil.copytree(run, tmp_path / "run"))
    ask = ["predict", stolen, leaves / "blast/00.jpg"]
    report = stolen / "export/export_report.json"
    whole = report.read_bytes()
    assert "answered by" in answer(*ask)[1]
    for bit in bits_of(whole, b"sha256", seal.MARK, b'"seal"', b"latency_ms"):
        report.write_bytes(flipped(whole, bit))
        code, out, err = answer(*ask)
        assert code == 2 and "export_report.json: is damaged; export again" in err, (bit, out)
    report.write_bytes(whole)
    # Another file with a right checksum in the place of the one that was proved.
    content = exported.read_bytes().replace(b"float32 (batch", b"float32 (BATCH")
    start, end = seal.place_of(content)
    content = content[:start] + seal.ZEROS + content[end:]
    (stolen / "export" / exported.name).write_bytes(seal.sealed(content))
    assert answer("predict", stolen / "export" / exported.name, *ask[2:])[0] == 0
    code, _, err = answer(*ask)
    assert code == 2 and "was replaced since the export" in err
    assert answer(*ask, "--device", "cpu")[0] == 0, "the run itself is whole"


def test_settings_of_a_run_to_resume_are_those_of_its_checkpoint(run, tmp_path, answer):
    stolen = Path(shutil.copytree(run, tmp_path / "run"))
    file = stolen / "config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"seed": 43}))
    assert "its seed is 43, last.pt says 42" in answer("train", "--resume", stolen)[2]
    file.write_text(json.dumps(settings | {"num_workers": 3}))
    assert "was changed since the run began" in answer("train", "--resume", stolen)[2]
    file.write_text(file.read_text().replace('"seed": 42', '"seed": 42, "seed": 42'))
    assert "names 'seed' twice" in answer("train", "--resume", stolen)[2]


# --- what is no file -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", some_of(["pipe", "folder", "socket", "loop"]))
def test_what_is_no_file_is_never_waited_for(kind, run, leaves, tmp_path, answer, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name is short

    def put(path: str) -> str:
        """Something that is no file in the place of one."""
        if os.path.lexists(path):
            os.unlink(path)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            os.mkdir(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(path)
        else:
            os.symlink(Path(path).name, path)
        return path

    asked = [["predict", put(name), leaves] for name in ("x.pt", "x.onnx")]
    asked += [["evaluate", "x.pt"], ["export", "x.pt"], ["adapt", "x.pt", leaves]]
    asked += [["train", *FAST, "--data-dir", leaves, "--weights", "x.pt"]]
    asked += [["train", *FAST, "--data-dir", put("x.tar")]]
    for name in ("best_model.pt", "last.pt", "config.json", "data.csv"):
        shutil.copytree(run, name, ignore=shutil.ignore_patterns("export"))
        put(f"{name}/{name}")
        asked.append(["predict", name, leaves] if "best" in name else ["train", "--resume", name])
    Path("table.csv").write_text("path,label\nx.tar#0-10,a\nx.tar#0-99999999999999,b\n")
    asked.append(["train", *FAST, "--metadata", "table.csv"])
    for command in asked:
        assert answer(*command)[0] == 2, command


@pytest.mark.parametrize(
    "pattern", ["{0..99999999999}", "{0..999}{0..999}", "{0..1}" * 40, "{1..0}"]
)
def test_a_pattern_of_endless_tars_is_refused_at_once(pattern, tmp_path, answer):
    assert "names" in answer("train", "--data-dir", tmp_path / f"{pattern}.tar")[2]


def test_a_photo_in_a_tar_is_no_larger_than_the_tar(tmp_path, answer):
    (tmp_path / "x.tar").write_bytes(bytes(10_000))
    lines = ("path,label", "x.tar#0-99999999999999,a", "x.tar#9-5,b", f"x.tar#0-{'9' * 5000},b")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    assert answer("train", *FAST, "--metadata", tmp_path / "table.csv")[0] == 2
