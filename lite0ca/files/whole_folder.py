"""Folders appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.files.scratch import scratch_folder
from lite0ca.files.whole_file import as_old


@contextlib.contextmanager
def whole_folder(
    folder: str | Path, last: str | None = None, shared: bool = True
) -> Iterator[Path]:
    """A scratch folder to fill; at the end all that it holds stands in `folder`, before it nothing.

    A new folder appears at once. Into one that is there the files move one by one, over those of
    their name, the one named `last` behind the others. With `shared` off, a folder that another
    process made meanwhile is an `InputError`.
    """
    folder = Path(folder)
    is_new = not os.path.lexists(folder)
    with scratch_folder(folder.parent if is_new else folder) as scratch:
        yield scratch
        if is_new:
            try:
                os.rename(scratch, folder)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES):
                    raise
                if not shared:
                    raise InputError(f"{folder}: another process has just made it") from None
        names = sorted(os.listdir(scratch), key=lambda name: (name == last, name))
        if in_the_way := [name for name in names if (folder / name).is_dir()]:
            raise InputError(f"{folder / in_the_way[0]}: is a folder, where a file is to be")
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                as_old(os.stat(folder / name), scratch / name)
            os.replace(scratch / name, folder / name)
