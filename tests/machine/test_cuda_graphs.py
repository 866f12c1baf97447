"""What is recorded as a CUDA graph, and when: with a recorder that needs no GPU."""

import threading

import numpy as np
import pytest
import torch

from lite0ca.evaluation import inference
from lite0ca.machine.cuda_graphs import MOST, Replayed
from lite0ca.machine.device import CPU
from lite0ca.model.network import build_model
from lite0ca.settings.systems import SYSTEMS


class Recorder:
    """As CUDA does it: one place for the input of a shape and one for its answers."""

    def __init__(self):
        self.shapes, self.replays = [], 0

    def __call__(self, ask, batch):
        self.shapes.append(tuple(batch.shape))
        given = batch.clone()
        answers = ask(given)

        def replay(batch):
            self.replays += 1
            given.copy_(batch)
            for place, answer in zip(answers, ask(given)):
                if place is not None:
                    place.copy_(answer)
            return answers

        return replay


@pytest.fixture
def record():
    return Recorder()


def doubled(batch):
    return 2 * batch, None


@torch.inference_mode()
def test_a_shape_is_recorded_when_it_comes_again(record):
    ask = Replayed(doubled, CPU.device, record)
    photos = torch.rand(70, 3)
    batches = photos.split(32)  # the last one is of 6
    found = torch.cat([ask(batch)[0] for batch in batches])
    assert torch.equal(found, 2 * photos)
    assert record.shapes == [(32, 3)] and record.replays == 1
    assert (
        ask(batches[0].double())[0].dtype == torch.float64
    )  # of other numbers: not that recording


@torch.inference_mode()
def test_an_answer_stays_what_it_was(record):
    """The next replay writes over the recording's own, and over its input."""
    ask = Replayed(doubled, CPU.device, record)
    batches = torch.arange(5.0)[:, None]
    kept = [ask(batch)[0] for batch in batches]
    assert torch.cat(kept).tolist() == [0, 2, 4, 6, 8] and record.replays == 4
    assert batches[:, 0].tolist() == [0, 1, 2, 3, 4]


@torch.inference_mode()
def test_recordings_are_few(record):
    ask = Replayed(doubled, CPU.device, record)
    for _ in range(3):
        for size in range(1, MOST + 3):
            assert torch.equal(ask(torch.ones(size))[0], torch.full((size,), 2.0))
    assert len(record.shapes) == MOST


@torch.inference_mode()
def test_what_cannot_be_recorded_is_answered_all_the_same(capsys):
    def fails(_ask, _batch):
        raise RuntimeError("operation not permitted when stream is capturing\nand a page more")

    ask = Replayed(doubled, CPU.device, fails)
    for size in (1, 1, 1, 2, 2):
        assert ask(torch.ones(size, 3))[0].sum() == 6 * size
    assert capsys.readouterr().out == (
        "batches of 1 x 3 are not recorded as a CUDA graph, which is slower: operation not "
        "permitted when stream is capturing\n"
    )


def test_gradients_are_not_replayed(record):
    weight = torch.ones(1, requires_grad=True)
    ask = Replayed(lambda batch: (weight * batch,), CPU.device, record)
    for _ in range(3):
        ask(torch.ones(1))[0].sum().backward()
    assert weight.grad == 3 and not record.shapes


def test_threads_get_their_own_answers(record):
    ask, wrong = Replayed(doubled, CPU.device, record), []

    @torch.inference_mode()
    def many(number):
        for _ in range(200):
            answer = ask(torch.full((8,), float(number)))[0]
            if not torch.equal(answer, torch.full((8,), 2.0 * number)):
                wrong.append(number)

    threads = [threading.Thread(target=many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(record.shapes) == 1


def test_a_network_is_asked_by_recordings_and_answers_the_same(record):
    torch.manual_seed(0)
    network = build_model(SYSTEMS["MobileNetV3_Small_Hybrid"], 4, 64)
    plain = inference.Network(network, CPU)
    assert plain.replayed.record is None  # on a CPU
    replayed = inference.Network(network, CPU)
    replayed.replayed.record = record
    photos = np.random.default_rng(0).integers(0, 256, (5, 2, 64, 64, 3), np.uint8)
    expected = [plain.answers(batch)[0] for batch in photos]
    assert np.array_equal(expected, [replayed.answers(batch)[0] for batch in photos])
    assert record.replays == 4
