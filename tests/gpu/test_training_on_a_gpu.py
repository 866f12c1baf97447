"""Training on a GPU: precisions, overflow, memory, the same bits, from device to device."""

import json
import math
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import LITTLE, REPO, assert_equal

from lite0ca.data import dataset
from lite0ca.formats.checkpoint import load_checkpoint
from lite0ca.images.loaders import score_loader
from lite0ca.machine.device import Precision
from lite0ca.settings.config import Config
from lite0ca.training.epoch import fitting_step, train_step
from lite0ca.training.fit import fit
from lite0ca.training.state import State
from lite0ca.training.stopping import Watch

SMALL = {"epochs": 2, "train_limit": 16, "valid_limit": 8, "image_size": 64, "batch_size": 8}
SMALL |= {"num_workers": 0, "save_history": True, "patience": 0} | LITTLE


@pytest.fixture
def settings(sample, tmp_path, device):
    def make(**changes) -> Config:
        given = {"metadata": str(sample), "output_dir": str(tmp_path), "device": device.type}
        return Config.of(**{**given, **SMALL, **changes})

    return make


@pytest.fixture(params=["float16", "bfloat16"])
def mixed(request, monkeypatch, device) -> Precision:
    """Mixed precision in a type that this device would perhaps not choose."""
    early = device.type == "cuda" and torch.cuda.get_device_capability()[0] < 8
    if early and request.param == "bfloat16":
        pytest.skip("this GPU has none, and for what stands in for it cuDNN lacks convolutions")
    monkeypatch.setattr(Precision, "dtype", getattr(torch, request.param))
    return Precision(device, amp=True)


def batch(images: int, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    photos = torch.randint(256, (images, size, size, 3), dtype=torch.uint8)
    return photos, torch.arange(images) % 4


def test_mixed_precision_is_what_the_gpu_has_and_the_default_of_training(gpu):
    half = torch.cuda.get_device_capability()[0] < 8
    assert Precision.of(gpu, None) == Precision(gpu, amp=True)
    assert Precision.of(gpu, None).dtype is (torch.float16 if half else torch.bfloat16)
    assert not Precision.for_answers(gpu, None).amp


def test_it_learns_alike_in_each_precision(settings, mixed):
    run = fit(settings(amp=True))
    whole = fit(settings(amp=False))
    for name in ("train_loss", "valid_loss"):
        assert run.history[name] == pytest.approx(whole.history[name], rel=0.1)
    kept = load_checkpoint(run.run / "last.pt", needs=State.KEYS)
    assert bool(kept["scaler"]) == (mixed.dtype is torch.float16)
    assert all(value.dtype != mixed.dtype for value in kept["model"].values())


def test_a_step_that_overflows_is_left_out_and_the_next_ones_are_not(mixed):
    """float16 ends at 65,504: gradients beyond it are infinite, and the scale is halved."""
    if mixed.dtype is not torch.float16:
        pytest.skip("bfloat16 ends where float32 does: no gradient is scaled")
    config = Config.of(batch_size=4, dropout=0.0, **LITTLE)
    torch.manual_seed(0)
    state = State.new(config, 4, mixed)
    state.model.train()
    state.scaler = torch.amp.GradScaler(mixed.device.type, init_scale=2.0**40)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]

    def unchanged() -> bool:
        return all(map(torch.equal, before, state.model.parameters()))

    photos, numbers = batch(4)
    steps = 0
    while unchanged():
        loss, _ = train_step(state, photos, numbers, config, mixed, None)
        steps += 1
        assert loss.isfinite() and steps < 40
    assert steps > 1 and state.scaler.get_scale() == 2.0 ** (40 - steps + 1)
    state.check_finite()


def test_a_batch_that_does_not_fit_is_done_in_halves(gpu, capsys):
    config = Config.of(batch_size=64, dropout=0.0)
    precision = Precision(gpu, amp=False)
    state = State.new(config, 4, precision)
    state.model.train()
    photos, numbers = batch(64, 224)
    torch.cuda.reset_peak_memory_stats()
    fitting_step(state, photos, numbers, config, precision, None)
    peak, all_of_it = torch.cuda.max_memory_allocated(), torch.cuda.mem_get_info()[1]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.75 * peak / all_of_it)
    try:
        loss, _ = fitting_step(state, photos, numbers, config, precision, None)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory with 64 images at once: from now on 32" in capsys.readouterr().out
    assert loss.isfinite() and state.images_at_once <= 32


def test_equal_seeds_give_equal_bits(settings):
    assert_equal(*(fit(settings(ema=True)).run for _ in range(2)))


def test_page_locked_batches_are_the_same(settings, device):
    plain, locked = (fit(settings(pin_memory=locked, num_workers=1)) for locked in (False, True))
    assert_equal(plain.run, locked.run)
    data = dataset.load(settings(), None)
    photos, _ = next(
        iter(score_loader(data.rows.head(4), data.label2id, settings(pin_memory=True)))
    )
    assert photos.is_pinned() == (device.type == "cuda")


def test_a_run_goes_on_on_another_device(settings, device, monkeypatch):
    """Begun on a CPU, gone on with on the GPU, ended on a CPU; each time within an epoch."""
    look, left = Watch.look, [4]

    def counted(watch, *arguments):
        left[0] -= 1
        if not left[0]:
            watch.minutes = 0.0  # the time budget is over
        look(watch, *arguments)

    monkeypatch.setattr(Watch, "look", counted)
    changes = {"device": "cpu", "ema": True, "epochs": 4, "dropout": 0.0}
    run = fit(settings(**changes)).run
    for place, looks in ((device.type, 4), ("cpu", 0)):
        left[0] = looks
        result = fit(Config.of_run(run, device=place, time_budget=None))
    assert result.metrics["epochs"] == 4 and result.scores
    monkeypatch.undo()
    whole = fit(settings(**changes))
    assert result.history["train_loss"] == pytest.approx(whole.history["train_loss"], rel=0.1)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of what its compiler could do faster
def test_compiled_it_learns_alike(settings):
    if not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("torch.compile needs a C compiler")
    run, plain = (fit(settings(epochs=1, compile=way, dropout=0.0)) for way in (True, False))
    assert run.history["train_loss"] == pytest.approx(plain.history["train_loss"], rel=0.05)


def test_one_rank_alone(settings, device, tmp_path):
    """As torchrun starts it: the group of ranks is nccl's on GPUs."""
    given = {name: value for name, value in settings().as_dict().items() if name in SMALL}
    flags = [
        f"--{name.replace('_', '-')}={given[name]}" for name in given if name != "save_history"
    ]
    flags += ["--metadata", settings().metadata, "--output-dir", str(tmp_path / "ranks")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
    command += [str(REPO / "train_EfficientNet_Lite0_CA.py"), *flags, "--save-history"]
    done = subprocess.run(
        [*command, "--device", device.type], capture_output=True, text=True, cwd=REPO
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = (tmp_path / "ranks").iterdir()
    losses = json.loads((run / "history.json").read_text())["valid_loss"]
    assert len(losses) == 2 and all(map(math.isfinite, losses))


def test_batchnorm_over_two_gpus_is_that_of_one(settings, gpu):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    changes = {"dropout": 0.0, "epochs": 1, "amp": False}
    two = fit(settings(devices=2, sync_bn=True, **changes))
    one = fit(settings(**changes))
    assert two.history["train_loss"] == pytest.approx(one.history["train_loss"], rel=0.01)
