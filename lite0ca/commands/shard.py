"""Pack photos into tar files."""

from __future__ import annotations

import argparse

from lite0ca.errors import printable
from lite0ca.settings.flags import add_flags, from_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="where the shards go; a new one")
    parser.add_argument("--shard-mb", type=float, default=100, metavar="MB", help="(default: 100)")
    add_flags(parser, only=("metadata", "label2id", "data_dir", "skip_bad_images", "seed"))


def run(folder: str, shard_mb: float, **typed) -> None:
    from lite0ca.data.packing import pack

    print(printable(str(pack(folder, shard_mb, from_flags(typed)))))
