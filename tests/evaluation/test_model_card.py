"""MODEL_CARD.md: what a run knows of itself, whatever names there are, in nobody else's file."""

import json
import re
import shutil

import huggingface_hub
import pytest

from lite0ca.__main__ import main
from lite0ca.data.licence import licence_of
from lite0ca.evaluation.model_card import CARD, write_card
from lite0ca.formats.checkpoint import load_best, save_checkpoint

QUICK = ["--num-workers", "0", "--device", "cpu"]


@pytest.fixture
def run(tiny_run, tmp_path):
    """As its training left it: other tests score it as well."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for file in run.glob("scores_*.json"):
        scores = json.loads(file.read_text())
        ends_training = scores["own_data"] and scores["split"] == "test"
        if not ends_training or scores.get("background") or "looks" in scores:
            file.unlink()
    (run / CARD).unlink()
    write_card(run)
    return run


def scores_of(run):
    (file,) = run.glob("scores_*.json")
    return file, json.loads(file.read_text())


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


def test_a_training_leaves_one_with_its_scores(run):
    text = (run / CARD).read_text(encoding="utf-8")
    _, scores = scores_of(run)
    low, high = scores["macro_f1_interval_95"]
    assert f"| {scores['macro_f1']:.3f} ({low:.3f} to {high:.3f}) |" in text
    assert "| `leaf_blast` | leaf blast | đạo ôn | 10 | 3 | 15 |" in text
    assert "It learned from drawings" in text and "Not scored on photos from elsewhere" in text
    assert "licence apache-2.0" in text and "--preset basic" in text
    assert str(run.parent) not in text, "it is given to others"
    front = huggingface_hub.ModelCard(text).data.to_dict()
    assert front["base_model"] == "timm/tf_efficientnet_lite0.in1k"
    assert front["license"] == "other" and front["library_name"] == "lite0ca"
    assert "model-index" not in front, "drawings are no result"


def test_evaluate_adds_photos_from_elsewhere_and_keeps_the_licence(run, sample, tmp_path, capsys):
    other = tmp_path / "a field | far"
    shutil.copytree(sample.parent, other)
    for photo in other.rglob("*.jpg"):
        photo.write_bytes(photo.read_bytes() + b" ")
    card = run / CARD
    chosen = card.read_text().replace(
        "license: other\nlicense_name: not-chosen-yet", "license: mit"
    )
    card.write_text(chosen)
    assert main(["evaluate", str(run), "--data-dir", str(other), "--split", "test", *QUICK]) == 0
    assert capsys.readouterr().out.endswith(f"{card}\n")
    text = card.read_text()
    row = next(line for line in text.splitlines() if line.startswith(r"| a field \| far | test"))
    assert "photos from elsewhere" in row and cells(row) == 7
    assert text.startswith("---\nlicense: mit\n") and "how\n  much less" not in text


def test_what_was_changed_by_hand_stays(run, capsys):
    card = run / CARD
    for mine in (card.read_text().replace("Limits", "My limits"), "my own card"):
        card.write_text(mine)
        assert write_card(run) is None
        assert "was changed by hand, or is not lite0ca's, and stays" in capsys.readouterr().out
        assert card.read_text() == mine
    card.unlink()
    assert main(["report", str(run), "--split", "valid", *QUICK]) == 0
    assert f"\n{card}\n" in capsys.readouterr().out and card.is_file()


def test_names_break_nothing(run):
    hostile = ["<script>", "a|b", "`x` *y*", "[go](http://x.org)"]
    checkpoint = load_best(run)
    checkpoint["label2id"] = {label: number for number, label in enumerate(hostile)}
    file, scores = scores_of(run)
    scores["classes"] = dict(zip(hostile, scores["classes"].values()))
    file.write_text(json.dumps(scores))
    save_checkpoint(run / "best_model.pt", checkpoint)
    lines = write_card(run).read_text().splitlines()
    assert not any("<script" in line or re.search(r"(?<!\\)\]\(", line) for line in lines)
    for start, count in ((r"| a\|b | a\|b |", 7), (r"| a\|b | ", 6), (r"| \`x\` \*y\* |", 7)):
        assert any(line.startswith(start) and cells(line) == count for line in lines), start


def test_what_is_missing_or_damaged_is_said_as_missing(run, capsys):
    file, scores = scores_of(run)
    for damaged in ({"macro_f1": "high"}, {"confusion": [1]}, {"split": "x"}, {"classes": []}):
        file.write_text(json.dumps(scores | damaged))
        (run / CARD).unlink()
        text = write_card(run).read_text()
        assert f"{file}: is damaged" in capsys.readouterr().out
        assert "Not scored on photos of its own data." in text
    for name in ("metrics.json", "environment.json", "data.csv", "config.json"):
        (run / name).unlink()
    checkpoint = load_best(run)
    checkpoint.pop("distance")
    config = checkpoint["config"] | {"metadata": None, "pretrained": False, "preset": None}
    checkpoint |= {"config": config, "drawn_sample": False, "sure_from": None}
    save_checkpoint(run / "best_model.pt", checkpoint)
    text = write_card(run).read_text()
    for said in (
        "**Source:** not stated",
        "not stated: ask whoever gave you the photos",
        "whether photos of one leaf are kept in one part is not known",
        "It is never sure",
        "It does not know how far",
        "is not recorded",
        "none, they were random",
    ):
        assert said in text, said


def test_the_licence_of_photos_is_what_their_folder_says(tmp_path):
    assert licence_of(tmp_path) is None
    (tmp_path / "README.md").write_text("# Leaves\n\nMIT is in Boston.\n")
    assert licence_of(tmp_path) is None
    (tmp_path / "README.md").write_text("# Leaves\n\n## Sources and licence as stated\n")
    assert licence_of(tmp_path) == "see 'Sources and licence as stated' in README.md"
    (tmp_path / "README.md").write_text("# Leaves\n\n- **License:** CC BY 4.0\n")
    assert licence_of(tmp_path) == "CC BY 4.0 (README.md)"
    kaggles = tmp_path / "dataset-metadata.json"
    for content in ("[1]", '{"licenses": 3}', '{"licenses": [{"name": 4}, 5]}'):
        kaggles.write_text(content)
        assert licence_of(tmp_path) == "CC BY 4.0 (README.md)"
    kaggles.write_text('{"licenses": [{"name": "CC0-1.0"}]}')
    assert licence_of(tmp_path) == "CC0-1.0 (dataset-metadata.json)"
    (tmp_path / "LICENSE.txt").write_bytes(b"\n  Creative Commons Zero\nline two\n")
    assert licence_of(tmp_path) == "Creative Commons Zero (LICENSE.txt)"
    (tmp_path / "LICENSE.txt").write_bytes(b"\x00\xff")
    assert licence_of(tmp_path) == "CC0-1.0 (dataset-metadata.json)"
