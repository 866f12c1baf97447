"""Files for phones, edge boards and CPUs, each checked against its run."""

from __future__ import annotations

import argparse
from pathlib import Path

from lite0ca.errors import printable
from lite0ca.settings.flags import add_run, add_run_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser, others="")
    parser.add_argument(
        "--format",
        default="onnx",
        metavar="NAME,NAME",
        help="onnx, openvino, litert, executorch, or all (default: onnx)",
    )
    parser.add_argument("--int8", action="store_true", help="each format in 8 bits as well")
    parser.add_argument("--opset", type=int, metavar="N", help="of ONNX (default: torch's)")
    parser.add_argument(
        "--with-preprocessing",
        action="store_true",
        dest="photo",
        help="an ONNX file that takes a photo of any size and gives probabilities as well",
    )
    parser.add_argument("--web", metavar="DIR", help="a page for phones as well; needs npm once")
    add_run_flags(parser, "metadata data_dir skip_bad_images image_size num_workers device")
    parser.add_argument("--output-dir", metavar="DIR", help="(default: RUN/export)")


def run(run: str, format: str, int8: bool, opset, photo: bool, web: str | None, **typed) -> None:
    """Export, write the page for phones, print the table; raises `ExportFailed` at the end."""
    from lite0ca.export import phone_page
    from lite0ca.export.export import PAGE, PHOTO, export, refuse_failed
    from lite0ca.export.verification import as_table
    from lite0ca.formats.exported_file import formats_named
    from lite0ca.formats.opening import open_file
    from lite0ca.formats.run_files import REPORT

    formats = formats_named(format)
    if web:  # what can be wrong with the page is said before minutes of work
        phone_page.files_of_page(Path(web).resolve())
        phone_page.runtime_package()
    folder, rows = export(run, formats, int8, opset, photo or bool(web), page=bool(web), **typed)
    print(as_table(rows).to_string(index=False))
    print(printable(str(folder)), printable(str(folder / REPORT)), sep="\n")
    made = {row["form"]: folder / row["file"] for row in rows if row["file"] and row["passed"]}
    if web and PHOTO in made:
        model = made.get(PAGE, made[PHOTO])
        metadata = open_file(model)[0]
        shown = {key: value for key, value in metadata.items() if key not in ("config", "label2id")}
        print(printable(str(phone_page.write_page(model, shown, web))))
        parts = [Path(web) / name for name in phone_page.files_of_page(Path(web).resolve())]
        size = sum(part.stat().st_size for part in parts) / 1e6
        whole = "" if PAGE in made else ", its weights as float32"
        print(f"a phone loads {size:.1f} MB, once{whole}")
        serve = f"python -m http.server --directory {printable(web)}"
        print(f"to see it at http://localhost:8000: {serve}")
    refuse_failed(folder, rows)
