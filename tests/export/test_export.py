"""Exported files: each answers as its run in its own runtime, and a wrong one is refused."""

import errno
import gzip
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPO, SLOW, made_once

from lite0ca.__main__ import main
from lite0ca.errors import ExportFailed, InputError
from lite0ca.evaluation.predictions import answered, answers_of
from lite0ca.evaluation.scoring import device_said
from lite0ca.export import export as export_module
from lite0ca.export import phone_page, verification
from lite0ca.export.export import export, refuse_failed
from lite0ca.export.verification import NOISY
from lite0ca.formats.checkpoint import load_best, model_of, save_checkpoint
from lite0ca.formats.exported_file import FORMATS, ExportedFile, check_answers
from lite0ca.formats.metadata import check_metadata
from lite0ca.formats.opening import open_file
from lite0ca.formats.report import write_report
from lite0ca.formats.seal import has_seal
from lite0ca.images.reading import read_image
from lite0ca.images.resizing import squeezed
from lite0ca.machine.device import CPU, describe, to_device
from lite0ca.speed import exported_files
from lite0ca.speed.exported_files import benchmark_exported_files, benchmark_on_cuda

RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino", "litert": "litert_torch"}
RUNTIMES |= {"executorch": "executorch"}
HERE = [name for name, module in RUNTIMES.items() if importlib.util.find_spec(module)]
NAME = "EfficientNet_Lite0_CA"


def needs(name: str):
    missing = name not in HERE
    return pytest.mark.skipif(missing, reason=f"no {name}: pip install -e '.[{name}]'")


def onnx_alone(run: Path, folder: Path, opset: int | None = None):
    """What `export` returns of a run's float32 ONNX file, with nothing beside it."""
    options = {"int8": False, "photo": False, "output_dir": folder, "num_workers": 0}
    return export(str(run), ["onnx"], opset=opset, **options)


@pytest.fixture(scope="session")
def exported(tiny_run, tmp_path_factory) -> tuple[Path, dict[str, dict]]:
    """(a copy of the tiny run with all forms that can be made here, the report's rows by form)."""

    def make(folder: Path) -> None:
        run = shutil.copytree(tiny_run, folder / "run")
        with pytest.MonkeyPatch.context() as patch:
            # Two epochs on 40 drawings leave answers that hang by a hair: int8 is judged on real
            # photos.
            patch.setitem(verification.LEAST, "int8", 0.8)
            patch.setattr(verification, "LEAST_UNLIKE", 0.8)
            patch.setattr(export_module, "ROUNDED_ON", 16)
            options = {"photo": "onnx" in HERE, "output_dir": None, "num_workers": 0}
            export(str(run), HERE, int8=True, opset=None, **options)

    made = made_once("exported", make, tmp_path_factory)
    run = shutil.copytree(made / "run", tmp_path_factory.mktemp("exported") / "run")
    report = json.loads((run / "export/export_report.json").read_text())
    return run, {row["form"]: row for row in report["files"]}


@pytest.fixture(scope="session")
def pictures(sample):
    """uint8 (4, 64, 64, 3): drawn leaves as the network takes them."""
    paths = sorted(sample.parent.glob("*/*.jpg"))[::101]
    photos = [squeezed(read_image(path), 64) for path in paths]
    return torch.from_numpy(np.stack(photos))


def expected(run: Path, pictures: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(logits, distances) of the trained network."""
    model = model_of(load_best(run))
    with torch.inference_mode():
        images = model.normalize(to_device(pictures, torch.device("cpu")))
        logits, distances = model.with_distance(images)
        return logits.numpy(), distances.numpy()


def assert_answers(run: Path, pictures: torch.Tensor, logits, distances) -> None:
    wanted, exact = expected(run, pictures)
    assert np.abs(logits - wanted).max() < 1e-3
    assert np.abs(distances.reshape(-1) / exact - 1).max() < 1e-3


def test_the_report_says_how_each_form_did(exported):
    run, rows = exported
    assert set(rows) >= {"torch", *HERE}
    noisy = rows.pop(NOISY)
    assert 0.5 < noisy["agreement"] <= 1 and noisy["largest_logit_difference"] > 0
    for form, row in rows.items():
        assert row["passed"], row
        assert row["latency_ms"] > 0 and row["times_torch"] > 0
        if form != "torch":
            file = run / "export" / row["file"]
            files = [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]
            size = sum(one.stat().st_size for one in files)
            assert size == pytest.approx(1e6 * row["size_mb"])
            assert 0 <= row["macro_f1"] <= 1
    float32 = [row for form, row in rows.items() if form != "torch" and "int8" not in form]
    assert all(row["agreement"] == 1 for row in float32)
    assert all(row["largest_logit_difference"] <= 1e-3 for row in float32)
    assert all(row["largest_distance_difference"] <= 1e-3 for row in float32)
    assert all(row["unlike_agreement"] == 1 for row in float32)
    assert not list((run / "export").glob(".*")), "nothing half-written is left"


# Small clients of our own, as an app has them: the runtime alone, and what the file says.


def normalised(pictures: torch.Tensor, metadata: dict) -> np.ndarray:
    """float32 (N, 3, S, S)."""
    pixels = (pictures.numpy() / 255 - np.array(metadata["mean"])) / np.array(metadata["std"])
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)


def test_every_exported_file_is_known_for_ours_without_its_report(exported):
    run, rows = exported
    files = [run / "export" / row["file"] for row in rows.values() if row.get("file")]
    assert all(map(has_seal, files))


@needs("onnx")
def test_onnx_by_onnxruntime_alone(exported, pictures):
    import onnx
    import onnxruntime

    path = str(exported[0] / f"export/{NAME}.onnx")
    session = onnxruntime.InferenceSession(path)
    stored = session.get_modelmeta().custom_metadata_map
    metadata = {key: json.loads(value) for key, value in stored.items()}
    assert metadata["classes"] == ["bacterial_leaf_blight", "brown_spot", "healthy", "leaf_blast"]
    assert metadata["image_size"] == 64 and metadata["precision"] == "float32"
    assert "metadata" not in metadata["config"], "no path of this machine"
    for batch in (1, 4):
        images = normalised(pictures[:batch], metadata)
        logits, distances = session.run(["logits", "distance"], {"images": images})
        assert_answers(exported[0], pictures[:batch], logits, distances)
    assert [output.name for output in session.get_outputs()] == list(metadata["outputs"])
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert not list(Path(path).parent.glob("*.data")), "one file"


@needs("onnx")
def test_int8_sums_cannot_overflow_on_old_x86(exported):
    """Without VNNI two products are added in 16 bits: 2 * 255 * 64 fits, 2 * 255 * 127 does not."""
    import onnx

    file = exported[0] / "export/EfficientNet_Lite0_CA_int8.onnx"
    stored = [onnx.numpy_helper.to_array(one) for one in onnx.load(file).graph.initializer]
    weights = [array for array in stored if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) > 40
    assert max(np.abs(array.astype(int)).max() for array in weights) == 64


@needs("onnx")
def test_what_is_made_of_the_maps_for_a_distance_is_not_in_8_bits(exported):
    import onnx

    from lite0ca.formats.onnx import nodes_before

    graph = onnx.load(exported[0] / f"export/{NAME}_int8.onnx").graph
    own = nodes_before(graph, "distance") - nodes_before(graph, "logits")
    kinds = [node.op_type for node in graph.node if node.name in own]
    assert "Sqrt" in kinds and not any("Quantize" in kind for kind in kinds)


@needs("onnx")
def test_a_run_that_does_not_know_its_training_photos_gives_logits_alone(little_run, tmp_path):
    run = shutil.copytree(little_run, tmp_path / "run")
    kept = load_best(run)
    assert kept.pop("distance")
    save_checkpoint(run / "best_model.pt", kept)
    folder, (_, row) = onnx_alone(run, tmp_path / "out")
    assert row["passed"] and "unlike_agreement" not in row
    metadata, network = open_file(folder / row["file"])
    assert list(metadata["outputs"]) == ["logits"]
    logits, distances = network.exported.answers(np.zeros((2, 32, 32, 3), np.uint8))
    assert logits.shape == (2, 2) and distances is None


@needs("onnx")
def test_half_weights_are_half_the_file_and_answer_alike(exported, pictures, tmp_path):
    from lite0ca.formats.onnx import write_half

    whole, half = exported[0] / f"export/{NAME}_photo.onnx", tmp_path / "half.onnx"
    write_half(whole, open_file(whole)[0] | {"precision": "half"}, half)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    metadata, _ = open_file(half)
    assert metadata["precision"] == "half"
    one, other = (open_file(file)[1].exported.session for file in (whole, half))
    for photo in pictures.numpy():
        (given, distance), (wanted, exact) = other.of_photo(photo), one.of_photo(photo)
        assert given == pytest.approx(wanted, abs=0.02)
        assert distance == pytest.approx(exact, rel=0.02)


@needs("onnx")
def test_the_photo_file_takes_any_size_and_gives_probabilities(exported, pictures, tiny_run):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported[0] / f"export/{NAME}_photo.onnx"))
    temperature = load_best(tiny_run)["temperature"]
    logits, distances = map(torch.from_numpy, expected(exported[0], pictures))
    probabilities = (logits / temperature).softmax(1).numpy()
    for photo, row, exact in zip(pictures.numpy(), probabilities, distances.numpy()):
        answer, distance = session.run(["probabilities", "distance"], {"photo": photo})
        assert answer == pytest.approx(row, abs=1e-4)
        assert distance == pytest.approx([exact], rel=1e-3)
    for shape in ((480, 640, 3), (31, 50, 3)):
        answer, distance = session.run(None, {"photo": np.full(shape, 99, np.uint8)})
        assert answer.shape == (4,) and answer.sum() == pytest.approx(1, abs=1e-5)
        assert distance.shape == (1,)
    # Its probabilities are calibrated already: what reads the file must not do it again.
    photo, run = (
        answers_of(str(exported[0] / file), num_workers=0, device="cpu")["confidence"]
        for file in (f"export/{NAME}_photo.onnx", "best_model.pt")
    )
    assert temperature != pytest.approx(1, abs=0.01)
    assert photo.to_numpy() == pytest.approx(run.to_numpy(), abs=1e-3)


@needs("openvino")
def test_a_signal_can_come_after_openvino_files_were_closed(exported):
    """The first of two that closes must not take the stack that signals are handled on."""
    code = f"""import os, signal
from pathlib import Path
from lite0ca.formats.exported_file import open_exported
files = [open_exported(path, 1) for path in Path({str(exported[0] / "export")!r}).glob("*.xml")]
signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
while files:
    files.pop(0)
os.kill(os.getpid(), signal.SIGUSR1)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


@needs("openvino")
def test_openvino_alone(exported, pictures):
    import openvino

    core = openvino.Core()
    # Without the hint CPUs that have bfloat16 take it, and logits differ by tenths.
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    model = core.compile_model(exported[0] / f"export/{NAME}.xml", "CPU", precise)
    metadata = open_file(exported[0] / f"export/{NAME}.xml")[0]
    answer = model(normalised(pictures, metadata))
    assert_answers(exported[0], pictures, answer["logits"], answer["distance"])


@needs("litert")
def test_litert_alone_with_labels_where_mobile_tools_look(exported, pictures):
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    content = (exported[0] / f"export/{NAME}.tflite").read_bytes()
    labels = zipfile.ZipFile(io.BytesIO(content)).read("labels.txt").decode().split()
    assert labels == ["bacterial_leaf_blight", "brown_spot", "healthy", "leaf_blast"]
    packed = schema.Model.GetRootAs(content, 0)
    entries = [packed.Metadata(number) for number in range(packed.MetadataLength())]
    (metadata,) = (
        packed.Buffers(one.Buffer()).DataAsNumpy().tobytes()
        for one in entries
        if one.Name() == b"TFLITE_METADATA"
    )
    assert metadata[4:8] == b"M001" and b"labels.txt" in metadata
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    assert image["shape"].tolist() == [1, 64, 64, 3], "NHWC"
    names = [output["name"] for output in interpreter.get_output_details()]
    assert names == ["logits", "distance"], "as the metadata has them"
    run = interpreter.get_signature_runner()
    (given,) = run.get_input_details()
    answers = [
        run(**{given: ((picture / 255 - 0.5) / 0.5)[None].astype("f4")})
        for picture in pictures.numpy()
    ]
    logits, distances = (np.concatenate([one[name] for one in answers]) for name in names)
    assert_answers(exported[0], pictures, logits, distances)


@needs("litert")
def test_litert_int8_takes_pixels_that_it_keeps_exactly(exported):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(exported[0] / f"export/{NAME}_int8.tflite"))
    interpreter.allocate_tensors()
    (image,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    # As Google's Task Library wants it.
    assert {one["dtype"] for one in (image, *outputs)} == {np.float32}
    of_distance = [
        one for one in interpreter.get_tensor_details() if "TrainingDistance" in one["name"]
    ]
    # Its axes and shapes are int32.
    assert len(of_distance) > 5
    assert {one["dtype"] for one in of_distance} <= {np.float32, np.int32}
    # The first thing that is done with the pictures: (pixel - 128) / 127.5 becomes pixel - 128.
    tensors = [one for one in interpreter.get_tensor_details() if one["dtype"] == np.int8]
    same_shape = [one for one in tensors if one["shape"].tolist() == image["shape"].tolist()]
    scale, zero = same_shape[0]["quantization"]
    assert zero == 0 and scale == pytest.approx(1 / 127.5, rel=0.01)


@needs("executorch")
def test_executorch_alone(exported, pictures):
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(exported[0] / f"export/{NAME}.pte")
    metadata = json.loads(program.load_method("facts").execute([])[0])
    method = program.load_method("forward")
    images = normalised(pictures, metadata)
    answers = [method.execute([torch.from_numpy(image[None])]) for image in images]
    logits, distances = (torch.cat(values).numpy() for values in zip(*answers))
    assert_answers(exported[0], pictures, logits, distances)


# Evaluate and predict take a file in place of a run.


@pytest.mark.parametrize("form", ["run", *HERE])
def test_evaluate_and_predict_take_any_exported_file(form, exported, tmp_path, capsys):
    run = exported[0]
    model = run if form == "run" else run / f"export/{NAME}{FORMATS[form].suffix}"
    options = ["--output-dir", str(tmp_path), "--num-workers", "0", "--device", "cpu"]
    assert main(["evaluate", str(model), *options]) == 0
    assert "macro-F1" in capsys.readouterr().out
    (file,) = tmp_path.glob("scores_*.json")
    from lite0ca.evaluation.predictions import answers_of

    scores = json.loads(file.read_text())
    of_run = answers_of(str(run), num_workers=0, device="cpu")
    assert scores["accuracy"] == pytest.approx((of_run["label"] == of_run["answer"]).mean())


def test_predict_takes_the_fastest_form_of_a_run_unless_told_otherwise(
    exported, sample, capsys, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # the files answer on CPUs
    photo = str(next(sample.parent.glob("*/*.jpg")))
    ask = ["predict", str(exported[0]), photo, "--top", "1"]
    assert main(ask) == 0
    first, *answer = capsys.readouterr().out.splitlines()
    assert first.startswith("answered by ") and "torch's speed" in first
    assert main([*ask, "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines() == answer
    # Another training in the same folder: the files are of an earlier one. Or of another size.
    report = exported[0] / "export/export_report.json"
    kept = report.read_text()
    for change, said in (({"checkpoint_sha256": "0"}, "export again"), ({"image_size": 96}, "")):
        write_report(report, json.loads(kept) | change)
        try:
            assert main(ask) == 0
        finally:
            report.write_text(kept)
        shown = capsys.readouterr().out
        assert said in shown and "answered by" not in shown


@needs("onnx")
def test_an_onnx_file_answers_without_torch(exported, sample):
    """Neither the command nor `lite0ca.load` of one photo imports it, or anything as slow."""
    photo = str(next(sample.parent.glob("*/*.jpg")))
    code = f"""import sys, lite0ca
from lite0ca.__main__ import main
assert main(["predict", {str(exported[0])!r}, {photo!r}]) == 0
answer = lite0ca.load({str(exported[0])!r}).predict({photo!r})
print(answer.label in answer.probabilities)
print([name for name in ("torch", "pandas", "scipy", "albumentations") if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["True", "[]"], done.stderr


# Files on a GPU. What only one shows is in tests/gpu.

PROVIDER = "AzureExecutionProvider"  # loads everywhere, and leaves all work to the CPU's


def stand_in(module, patch: pytest.MonkeyPatch) -> None:
    """Let `PROVIDER` be what answers for --device cuda."""
    patch.setitem(module.PROVIDERS, "cuda", PROVIDER)
    patch.setitem(module.OPTIONS, "cuda", {})


@pytest.fixture(scope="module")
def proved_on_cuda(little_run, tmp_path_factory) -> Path:
    """An export of the little run, its ONNX file proved on a provider in the place of CUDA's."""
    folder, module = tmp_path_factory.mktemp("on_cuda"), FORMATS["onnx"].module("onnx_runtime")
    if PROVIDER not in module.onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has no {PROVIDER}")
    options = ["--output-dir", str(folder), "--num-workers", "0", "--device", "cuda"]
    with pytest.MonkeyPatch.context() as patch:
        stand_in(module, patch)
        assert main(["export", str(little_run), *options]) == 0
    return folder


@needs("onnx")
def test_an_onnx_file_is_proved_where_it_will_answer(proved_on_cuda):
    rows = json.loads((proved_on_cuda / "export_report.json").read_text())["files"]
    (row,) = (row for row in rows if row["form"] == verification.ON_CUDA)
    assert row["passed"] and row["agreement"] == 1 and row["file"] is None


@needs("onnx")
def test_an_onnx_file_never_answers_on_the_cpu_in_the_place_of_a_gpu(
    proved_on_cuda, little_run, leaves, tmp_path, capsys, monkeypatch
):
    import onnxruntime

    photo = str(next(leaves.glob("*/*.jpg")))
    (file,) = map(str, proved_on_cuda.glob("*.onnx"))
    for name, device in (("leaf.tflite", "cuda"), ("leaf.xml", "mps"), ("leaf.onnx", "mps")):
        assert main(["predict", name, photo, "--device", device]) == 2
        assert f"--device {device}: {name} does not answer there" in capsys.readouterr().err
    if "CUDAExecutionProvider" in (there := onnxruntime.get_available_providers()):
        pytest.skip("this ONNX Runtime is built for CUDA: tests/gpu")
    for command in (
        ["predict", file, photo],
        ["evaluate", file, "--output-dir", str(tmp_path), "--num-workers", "0"],
        ["export", str(little_run), "--output-dir", str(tmp_path)],
    ):
        assert main([*command, "--device", "cuda"]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: --device cuda: onnxruntime ")
        assert "pip install onnxruntime-gpu" in captured.err and captured.err.count("\n") == 1
        assert not captured.out and not any(tmp_path.iterdir())
    # It is built for CUDA, but the libraries are not here: ONNX Runtime itself goes on.
    built = lambda: ["CUDAExecutionProvider", *there]  # noqa: E731
    monkeypatch.setattr(onnxruntime, "get_available_providers", built)
    with pytest.warns(UserWarning, match="not in available provider names"):
        assert main(["predict", file, photo, "--device", "cuda"]) == 2
    assert "cannot load its CUDAExecutionProvider" in capsys.readouterr().err


@needs("onnx")
def test_gpu_libraries_are_loaded_before_providers_are_asked_for(tmp_path, monkeypatch):
    """CUDA may be a plugin of ONNX Runtime, and TensorRT's engines are kept in a folder of ours."""
    module, known = FORMATS["onnx"].module("onnx_runtime"), []
    load = lambda: known.extend(module.PROVIDERS.values())  # noqa: E731
    monkeypatch.setattr(module.onnxruntime, "preload_dlls", load, raising=False)
    monkeypatch.setattr(module.onnxruntime, "get_available_providers", lambda: known)
    module.refuse_without("cuda")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "there"))
    (_, options), *others = module.providers_for("tensorrt")
    assert os.path.isdir(options["trt_engine_cache_path"]) and len(others) == 2


@needs("onnx")
def test_bench_on_cuda_times_what_runs_there(
    proved_on_cuda, little_run, tmp_path, capsys, monkeypatch
):
    module, (file,) = FORMATS["onnx"].module("onnx_runtime"), proved_on_cuda.glob("*.onnx")
    stand_in(module, monkeypatch)
    monkeypatch.setattr(exported_files, "device_of", lambda _name: CPU.device)
    run = shutil.copytree(little_run, tmp_path / "run")
    (run / "export").mkdir()
    shutil.copy(file, run / "export")
    table = benchmark_on_cuda(str(run / "export"), batch_size=2, rounds=1, seconds=0)
    forms = ["torch", "torch, CUDA graph", f"{file.name}, cuda"]
    assert list(table["form"])[:3] == forms and table["times_torch"][0] == 1
    if "TensorrtExecutionProvider" not in module.onnxruntime.get_available_providers():
        assert len(table) == 3
        assert "left out: --device tensorrt: onnxruntime" in capsys.readouterr().out


@needs("onnx")
def test_scores_say_where_a_file_answered(proved_on_cuda, leaves, monkeypatch):
    module, (file,) = FORMATS["onnx"].module("onnx_runtime"), proved_on_cuda.glob("*.onnx")
    stand_in(module, monkeypatch)
    typed = {"data_dir": str(leaves), "num_workers": 0}
    for device, said in (("cuda", "cuda, ONNX Runtime"), ("auto", describe(CPU.device))):
        assert device_said(answered(str(file), "all", typed | {"device": device})) == said


@needs("onnx")
def test_the_files_have_a_model_card_and_the_runs_names_them(exported):
    run, rows = exported
    beside, own = ((folder / "MODEL_CARD.md").read_text() for folder in (run / "export", run))
    share = f"{100 * rows['onnx']['agreement']:.1f} %"
    assert f"| `{NAME}.onnx` | onnx | {rows['onnx']['size_mb']:.1f} | {share} | yes |" in beside
    assert f"lite0ca predict {NAME}.onnx photo.jpg" in beside and "leaf_blast" in beside
    assert f"Exported files lie in `export/`: `{NAME}.onnx`" in own


# What is wrong is said in one line.


@needs("onnx")
def test_a_form_that_misses_its_tolerance_is_not_kept(little_run, tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "FLOAT_TOLERANCE", 0.0)
    made = onnx_alone(little_run, tmp_path / "out")
    with pytest.raises(ExportFailed, match=r"onnx: logits differ by .*, 0 are allowed"):
        refuse_failed(*made)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["export_report.json"]
    report = json.loads((tmp_path / "out/export_report.json").read_text())
    assert [row["passed"] for row in report["files"]] == [True, False]


@needs("onnx")
def test_a_converter_that_fails_does_not_stop_the_others(little_run, tmp_path, monkeypatch):
    from lite0ca.formats import onnx as onnx_format

    def broken(*_, **__):
        raise RuntimeError("no such operator\nand a page more")

    monkeypatch.setattr(onnx_format, "write", broken)
    made = onnx_alone(little_run, tmp_path / "out")
    with pytest.raises(ExportFailed, match="onnx: could not be made: no such operator; see"):
        refuse_failed(*made)


@needs("onnx")
def test_a_page_without_half_weights_has_whole_ones(little_run, tmp_path, monkeypatch, capsys):
    from lite0ca.formats import onnx as onnx_format

    monkeypatch.setattr(onnx_format, "write_half", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(phone_page, "runtime_package", lambda: b"")
    monkeypatch.setattr(
        phone_page, "files_in", lambda _: dict.fromkeys(phone_page.RUNTIME_FILES, b"")
    )
    page, out = tmp_path / "page", tmp_path / "out"
    command = ["export", little_run, "--num-workers", 0, "--output-dir", out, "--web", page]
    assert main(list(map(str, command))) == 0
    said = capsys.readouterr().out
    assert "onnx page: FAILED: could not be made: division by zero; not kept" in said
    assert "MB, once, its weights as float32" in said
    (whole,) = out.glob("*_photo.onnx")
    assert gzip.decompress((page / "model.packed").read_bytes()) == whole.read_bytes()


@needs("onnx")
def test_a_full_disk_is_no_converters_fault(little_run, tmp_path, monkeypatch, capsys):
    from lite0ca.formats import onnx as onnx_format

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(onnx_format, "write", full)
    assert main(["export", str(little_run), "--output-dir", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: No space left on device; make room")
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_4_when_a_proof_fails(monkeypatch, capsys):
    def failed(*_, **__):
        raise ExportFailed("onnx int8: agrees on 90.0%, 99% are needed")

    monkeypatch.setattr(export_module, "export", failed)
    assert main(["export", "run"]) == 4
    assert capsys.readouterr().err == ("error: onnx int8: agrees on 90.0%, 99% are needed\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "tflite"], "--format 'tflite' is unknown"),
        (["--format", ","], "--format: name one or more of onnx, openvino"),
        (["--opset", "99"], "--opset 99"),
        (["--opset", "0"], "--opset 0"),
        (["--opset", "11", "--int8"], "--int8 needs --opset 13 or more"),
        (["--opset", "17", "--with-preprocessing"], "--with-preprocessing and --web need --opset"),
        (["--format", "openvino", "--opset", "20"], "--opset 20: is of ONNX"),
        (["--metadata", "none.csv"], "--metadata none.csv: does not exist"),
        (["--device", "mps"], "--device mps: files are verified on CPUs, ONNX also on cuda"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, little_run, tmp_path, capsys):
    arguments = ["export", str(little_run), "--output-dir", str(tmp_path / "out"), *arguments]
    assert main([*arguments, "--num-workers", "0"]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_missing_extra_is_named(tiny_run, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "lite0ca.formats.openvino", raising=False)
    assert main(["export", str(tiny_run), "--format", "openvino"]) == 2
    assert "pip install 'lite0ca[openvino]'" in capsys.readouterr().err


@pytest.mark.parametrize("form", HERE)
def test_a_broken_or_foreign_file_is_refused(form, exported, tmp_path):
    suffix = FORMATS[form].suffix
    whole = (exported[0] / f"export/{NAME}{suffix}").read_bytes()
    for name, content in {
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"this is no model at all, whatever its name says" * 9,
    }.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content)
        if form == "openvino":
            path.with_suffix(".bin").write_bytes(b"")
        with pytest.raises(InputError, match=f"{name}{suffix}: "):
            open_file(path)
    with pytest.raises(InputError, match="there is no such file"):
        open_file(tmp_path / f"none{suffix}")


OUTPUTS = {"logits": "of each class", "distance": "to the training photos"}
OF_TWO = {"image_size": 8, "classes": ["a", "b"], "mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.mark.parametrize(
    ("outputs", "distances", "problem"),
    [
        ({}, None, None),  # of a version before 0.5
        ({"outputs": OUTPUTS}, [0.5], None),
        ({"outputs": OUTPUTS}, None, "its distance is not where it was"),
        ({}, [0.5], "its distance is not where it was"),
        ({"outputs": OUTPUTS}, [0.5, 1.0], r"its distance is \(2,\)"),
        ({"outputs": OUTPUTS}, [float("nan")], "it answers NaN or infinity"),
    ],
)
def test_a_file_gives_the_distance_that_it_says(outputs, distances, problem):
    exported = ExportedFile(lambda images: (np.zeros((1, 2)), distances), OF_TWO | outputs)
    if problem is None:
        return check_answers(exported)
    with pytest.raises(ValueError, match=problem):
        check_answers(exported)


@pytest.mark.parametrize("outputs", [[], {"distance": ""}, {"logits": 1}, {**OUTPUTS, "more": ""}])
def test_other_outputs_are_refused(outputs):
    with pytest.raises(InputError, match=r"file.onnx: .* its outputs cannot be"):
        check_metadata({"outputs": outputs}, "file.onnx")


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        ("onnx", {}, None),
        ("onnx", {"largest_distance_difference": 0.002}, "distances differ by 0.002, 0.001 are"),
        ("onnx", {"unlike_agreement": 0.99}, "are unlike the training photos for 99.0% only"),
        ("int8", {"largest_distance_difference": 0.3, "unlike_agreement": 0.98}, None),
        ("int8", {"unlike_agreement": 0.95}, "training photos for 95.0%, 97.0% are needed"),
        ("int8", {"agreement": 0.9}, "agrees on 90.0%, 99.0% are needed"),
        ("onnx", {"largest_distance_difference": float("nan")}, "distances differ by nan"),
    ],
)
def test_distances_are_proved_as_the_answers_are(kind, change, problem):
    row = {"agreement": 1.0, "largest_logit_difference": 0.0}
    row |= {"unlike_agreement": 1.0, "largest_distance_difference": 0.0}
    found = verification.problem_of(row | change, kind)
    assert found is None if problem is None else problem in found


@needs("onnx")
def test_an_onnx_file_of_somebody_else_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", value[:1], value[1:])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "other.onnx")
    with pytest.raises(InputError, match="was not written by lite0ca export"):
        open_file(tmp_path / "other.onnx")


@needs("onnx")
def test_the_guides_opset_11(tiny_run, tmp_path):
    from lite0ca.formats.onnx import opset_of

    folder, _ = onnx_alone(tiny_run, tmp_path / "out", opset=11)
    assert opset_of(folder / f"{NAME}.onnx") == 11


@needs("onnx")
@SLOW
@pytest.mark.parametrize("opset", [18, 22])
def test_every_onnx_file_has_the_opset_that_was_asked_for(opset, little_run, tmp_path):
    from lite0ca.formats.onnx import opset_of

    options = ["--opset", str(opset), "--int8", "--with-preprocessing", "--num-workers", "0"]
    # Answers of one epoch hang by a hair: int8 may miss its tolerance, and is kept.
    assert main(["export", str(little_run), "--output-dir", str(tmp_path), *options]) in (0, 4)
    assert [opset_of(file) for file in tmp_path.glob("*.onnx")] == [opset] * 3


def test_bench_refuses_files_of_two_sizes(tmp_path, monkeypatch):
    for name in ("96.onnx", "64.onnx"):
        (tmp_path / name).write_bytes(b"")
    sized = lambda file: ({"image_size": int(file.stem)}, None)  # noqa: E731
    monkeypatch.setattr(exported_files, "open_file", sized)
    with pytest.raises(InputError, match=r"--forms .*: its files take pictures of \[64, 96\] pix"):
        benchmark_exported_files(str(tmp_path), batch_size=2, rounds=1, seconds=0)


def test_bench_times_all_forms_of_a_run(exported, capsys):
    briefly = ["--rounds", "1", "--seconds", "0", "--batch-size", "2"]
    assert main(["bench", "--forms", str(exported[0] / "export"), *briefly]) == 0
    shown = capsys.readouterr().out
    assert "share_of_peak" in shown and f"{NAME}.onnx" in shown
    assert main(["bench", "--forms", str(REPO / "tests")]) == 2
    assert "holds no exported file" in capsys.readouterr().err
    for other in (["--amp"], ["--image-size", "96"], ["EfficientNet_Lite0"]):
        assert main(["bench", *other, "--forms", str(exported[0] / "export")]) == 2
        assert "--forms: the files are as they were exported" in capsys.readouterr().err


def test_a_file_has_its_own_precision(exported, sample, capsys):
    file = str(exported[0] / f"export/{NAME}.onnx")
    photo = str(next(sample.parent.rglob("*.jpg")))
    for command in (["predict", file, photo], ["evaluate", file, "--metadata", str(sample)]):
        assert main([*command, "--amp"]) == 2
        assert "computes as it was exported" in capsys.readouterr().err
