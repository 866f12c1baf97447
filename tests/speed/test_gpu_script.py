"""`benchmarks/gpu.py` ends in time whatever its parts do, and says what it did not measure."""

import json
import time
from pathlib import Path

import gpu
import pytest

# In the place of what measures: one part notes a figure, one never ends, nor does its child.
STAND_IN = """
import json, subprocess, sys
name, kept = (sys.argv[sys.argv.index(f"--{word}") + 1] for word in ("part", "figures"))
def note(*line):
    open(kept, "a").write(json.dumps(line) + "\\n")
if name == "good":
    note("one image ms", "eager, float32", 4.0)
    note("one image ms", "CUDA graph, float32", 0.5)
if name == "endless":
    note("child", "number", subprocess.Popen(["sleep", "60"]).pid)
    subprocess.run(["sleep", "60"])
sys.exit(name == "broken")
"""


@pytest.fixture
def parts(tmp_path, monkeypatch):
    script = tmp_path / "parts.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(gpu, "__file__", str(script))
    monkeypatch.setattr(gpu, "MINUTES", 1)
    given = {"good": (0, 20), "broken": (0, 20), "endless": (0, 2), "long": (60, 60)}  # seconds
    found = {name: gpu.Part(name, *seconds) for name, seconds in given.items()}
    monkeypatch.setattr(gpu, "PARTS", found)


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_part_that_does_not_end_is_ended_and_one_too_long_is_not_begun(parts, tmp_path, capfd):
    table, found = tmp_path / "metadata.csv", tmp_path / "found.json"
    table.touch()
    began = time.monotonic()
    typed = ["--metadata", str(table), "--minutes", "1", "--json", str(found)]
    assert gpu.main(typed) == 1, "a part failed"
    assert time.monotonic() - began < 60
    shown = capfd.readouterr().out
    missing = [line for line in shown.splitlines() if line.startswith("NOT MEASURED")]
    assert [line.partition("end: ")[2] for line in missing[:2]] == [
        "broken: exit code 1",
        "endless: ended after 2 s",
    ]
    assert "long: left out" in missing[2]
    assert "0.50 ms, 8.0 times as fast as eager (8 wanted), 100% of the speed" in shown
    figures = json.loads(found.read_text())
    assert figures["one image ms"] == {"eager, float32": 4.0, "CUDA graph, float32": 0.5}
    assert not runs(figures["child"]["number"])


def test_a_table_that_is_not_there_is_said_before_anything_is_measured(capsys):
    assert gpu.main(["--metadata", "no/such.csv"]) == 2
    assert capsys.readouterr().err == "error: --metadata no/such.csv: there is no such file\n"
