"""A data set -> tar shards in WebDataset's layout, and a table that says where a photo lies."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zlib
from pathlib import Path

import pandas as pd

from lite0ca.data import dataset, split
from lite0ca.data.layout import SPLITS
from lite0ca.data.metadata_csv import COLUMNS
from lite0ca.errors import InputError
from lite0ca.files.destination import refuse_full
from lite0ca.files.json_files import write_json
from lite0ca.files.reading import read_bytes
from lite0ca.files.tables import write_table
from lite0ca.files.whole_file import whole
from lite0ca.files.whole_folder import whole_folder
from lite0ca.images.reading import bytes_of, content_of
from lite0ca.images.tar_shards import SUMS, TABLE, sums_of, tars_of
from lite0ca.machine.console import bar
from lite0ca.settings.config import Config
from lite0ca.settings.names_file import NAMES


def pack(folder: str, shard_mb: float, config: Config) -> Path:
    """Write `folder`/000.tar, 001.tar …, label2id.json, the SHA256SUMS of the tables and,
    last, metadata.csv; returns the latter.

    Files go in as they are, shuffled with the seed, each tar from one split; data without a split
    gets one, as in training. A photo is three members: 00000042.jpg, .cls (its class number) and
    .json (path, label, split, group). The folder appears whole; one that holds anything is an
    `InputError`.
    """
    if shard_mb <= 0:
        raise InputError(f"--shard-mb must be above 0, not {shard_mb:g}")
    target = Path(folder)
    refuse_full(target, "name another folder")
    data = dataset.load(config)
    if tars_of(data.rows["absolute_path"]) is not None:
        raise InputError(f"{data.source}: its photos lie in tars already")
    data = split.for_training(data, config)
    rows = data.rows.sample(frac=1, random_state=config.seed)
    rows["bytes"] = rows["absolute_path"].map(bytes_of)
    tables = []
    for part in SPLITS:
        inside = rows[rows["split"] == part]
        number = (inside["bytes"].cumsum() - inside["bytes"]) // (1e6 * shard_mb)
        tables += [one for _, one in inside.groupby(number.to_numpy())]
    digits = max(3, len(str(len(tables) - 1)))
    written = []
    with whole_folder(target, last=TABLE, shared=False) as made:
        write_json(made / "label2id.json", data.label2id)
        if data.names:
            write_json(made / NAMES, data.names)
        for number, one in enumerate(bar(tables, "shards")):
            name = f"{number:0{digits}}.tar"
            with whole(made / name, "wb") as file:
                written.append(one.assign(path=write_tar(file, name, one, data.label2id)))
        table = pd.concat(written).drop(columns=["absolute_path", "bytes"])
        write_table(made / TABLE, table)
        listed = {name: read_bytes(made / name) for name in (TABLE, "label2id.json")}
        with whole(made / SUMS) as file:
            file.write(sums_of(listed))
    print(f"{len(table):,} images, {rows['bytes'].sum() / 1e6:,.0f} MB, in {len(tables)} shards")
    return target / TABLE


def write_tar(file, name: str, rows: pd.DataFrame, label2id: dict[str, int]) -> list[str]:
    """The photos of `rows` as one tar; returns where each lies: NAME#OFFSET-END#CRC32."""
    places = []
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, row in enumerate(rows.to_dict("records")):
            content = content_of(row["absolute_path"])
            suffix = os.path.splitext(row["path"])[1].lower()
            facts = {column: row[column] for column in COLUMNS if column in row}
            add(tar, f"{key:08}{suffix}", content)
            end = tar.offset - -len(content) % tarfile.BLOCKSIZE
            places.append(f"{name}#{end - len(content)}-{end}#{zlib.crc32(content):08x}")
            add(tar, f"{key:08}.cls", str(label2id[row["label"]]).encode())
            add(tar, f"{key:08}.json", json.dumps(facts, ensure_ascii=False, default=str).encode())
    return places


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # no owner, no time: equal photos, equal tars
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
