"""A trained model as a page for phones: a static folder that answers in the browser, offline too.

Everything it needs is in the folder, so no other server is asked and no photo leaves the phone.
The page itself lies in `page/`; what runs the network there is npm's onnxruntime-web.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.evaluation.certainty import LIMIT, NO_LEAF
from lite0ca.files.destination import check_writable
from lite0ca.files.json_files import json_text
from lite0ca.files.ownership import refuse_others
from lite0ca.files.scratch import scratch_folder
from lite0ca.files.whole_file import whole
from lite0ca.files.whole_folder import whole_folder
from lite0ca.formats.metadata import DISTANCE
from lite0ca.machine.environment import cache_folder
from lite0ca.settings.names import LANGUAGES, display_names

PAGE = Path(__file__).with_name("page")
SERVICE_WORKER = "service-worker.js"  # lists the files of its page, and so tells a page of ours
MODEL = "model.packed"
RUNTIME = "onnxruntime-web"
RUNTIME_VERSION = "1.30.0"
RUNTIME_SHA512 = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
SCRIPT, PROGRAM = "onnxruntime.js", "onnxruntime.packed"
# .js, since some servers do not know that .mjs is JavaScript, and browsers insist.
RUNTIME_FILES = {SCRIPT: "ort.wasm.bundle.min.mjs", PROGRAM: "ort-wasm-simd-threaded.wasm"}


def write_page(model: Path, metadata: Mapping, folder: str | Path) -> Path:
    """Write the page around an ONNX file; returns its folder.

    The model takes `photo`, uint8 (height, width, 3), and gives `probabilities` (classes,) and
    perhaps `distance` (1,) to its training photos.
    `metadata` is plain data: `classes` in the model's order and perhaps their `names`,
    `image_size`, `name`, `data`, `version`; without `sure_from` the page is never sure;
    `drawn_sample` makes it warn. An earlier page in `folder` is replaced, other files beside it
    stay. Raises `InputError` if the folder holds something else, or if onnxruntime-web cannot be
    had.
    """
    target = Path(folder).resolve()
    earlier = files_of_page(target)
    content = content_of_page(Path(model), metadata)
    # The service worker last: until it is there the folder is the old page.
    with whole_folder(target, last=SERVICE_WORKER) as building:
        for name, data in content.items():
            with whole(building / name, "wb") as file:
                file.write(data)
    for name in set(earlier) - set(content):
        (target / name).unlink(missing_ok=True)
    return Path(folder)


def files_of_page(folder: Path) -> list[str]:
    """The files of an earlier page in `folder`; none if it is empty or not there.

    Raises `InputError` for anything else.
    """
    check_writable(folder)
    if not folder.exists():
        return []
    inside = sorted(path.name for path in folder.iterdir())
    if not inside:
        return []
    earlier = []
    with contextlib.suppress(OSError, ValueError):
        text = (folder / SERVICE_WORKER).read_text(encoding="utf-8")
        if "lite0ca" in text and (line := re.search(r"^const FILES = (\[.*\]);$", text, re.M)):
            named = {*json.loads(line[1]), SERVICE_WORKER}
            earlier = [name for name in inside if name in named]
    if not earlier:
        raise InputError(
            f"--web {folder}: holds files that are no page of ours ({inside[0]}); "
            "give the page a folder of its own"
        )
    ours = {*RUNTIME_FILES, MODEL, "model.json", *(path.name for path in parts_of_page())}
    for name in sorted(ours - set(earlier)):  # an older page had less
        refuse_others(folder / name, False, "--web")
    return earlier


def parts_of_page() -> list[Path]:
    """The files of every page, whatever its model is."""
    inside = sorted(path for path in PAGE.iterdir() if path.is_file())
    return [path for path in inside if not path.name.startswith(".") and path.suffix != ".py"]


def content_of_page(model: Path, metadata: Mapping) -> dict[str, bytes]:
    """All files of the page by name, the service worker last."""
    files = {path.name: path.read_bytes() for path in parts_of_page()}
    service_worker = files.pop(SERVICE_WORKER).decode()
    files |= runtime_files()
    files[MODEL] = packed(model.read_bytes())
    loaded = {name: len(files[name]) for name in (MODEL, PROGRAM)}
    classes, names = metadata["classes"], metadata.get("names", {})
    called = {language: display_names(classes, names, language) for language in LANGUAGES}
    about = {**metadata, "names": called, "download": loaded}
    about |= {"runtime": f"{RUNTIME} {RUNTIME_VERSION}"}
    if DISTANCE in metadata.get("outputs", {}):
        about |= {DISTANCE: {"limit": LIMIT, "no_leaf": NO_LEAF}}
    files["model.json"] = json_text(about).encode()

    page = files["index.html"].decode()
    policy = re.search(r'Content-Security-Policy"\s+content="([^"]+)"', page)
    digest = hashlib.sha256(service_worker.encode())
    for name, data in sorted(files.items()):
        digest.update(f"\n{name} {len(data)}\n".encode() + data)
    for name, value in (
        ("VERSION", digest.hexdigest()[:20]),
        ("FILES", sorted(files)),
        ("POLICY", " ".join(policy[1].split())),
    ):
        service_worker = filled_in(service_worker, name, value)
    return {**files, SERVICE_WORKER: service_worker.encode()}


def filled_in(script: str, name: str, value) -> str:
    """`const NAME = …;` of a script with another value."""
    line = f"const {name} = {json.dumps(value)};"
    script, count = re.subn(rf"^const {name} = .*;$", lambda _: line, script, flags=re.MULTILINE)
    assert count == 1, name
    return script


def packed(content: bytes) -> bytes:
    """As gzip, which the page unpacks: many servers send such files as they are."""
    return gzip.compress(content, mtime=0)


def runtime_files() -> dict[str, bytes]:
    """onnxruntime-web by the names that the page has for it."""
    return files_in(runtime_package())


@functools.lru_cache(maxsize=1)  # a second and a half
def files_in(package: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        files = {
            ours: archive.extractfile(f"package/dist/{theirs}").read()
            for ours, theirs in RUNTIME_FILES.items()
        }
    return files | {PROGRAM: packed(files[PROGRAM])}


def runtime_package() -> bytes:
    """npm's archive of onnxruntime-web: kept from an earlier time, or fetched once."""
    kept = cache_folder() / f"{RUNTIME}-{RUNTIME_VERSION}.tgz"
    with contextlib.suppress(OSError):
        package = kept.read_bytes()
        if is_intact(package):
            return package
    package = npm_pack(kept)
    if not is_intact(package):
        raise InputError(
            f"--web: what npm gave as {RUNTIME} {RUNTIME_VERSION} is not the published package "
            "(its sha512 differs); is there a proxy or a mirror between?"
        )
    # Without a cache it is fetched again next time.
    with contextlib.suppress(OSError), whole(kept, "wb") as file:
        file.write(package)
    return package


def is_intact(package: bytes) -> bool:
    return base64.b64encode(hashlib.sha512(package).digest()).decode() == RUNTIME_SHA512


def npm_pack(kept: Path) -> bytes:
    """Fetch the archive with npm; raises `InputError` with what to do if that fails."""
    otherwise = f"or put {kept.name}, from a machine that can, into {kept.parent}"
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"--web: {RUNTIME} {RUNTIME_VERSION} is fetched with npm, once, and npm is not "
            f"installed: install Node.js, {otherwise}"
        )
    print(f"--web: fetching {RUNTIME} {RUNTIME_VERSION} with npm, once (33 MB)", flush=True)
    with scratch_folder() as scratch:
        command = [npm, "pack", f"{RUNTIME}@{RUNTIME_VERSION}", "--ignore-scripts"]
        command += ["--prefer-offline", "--fetch-retries=1", "--loglevel=error"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        archives = list(scratch.glob("*.tgz"))
        if done.returncode or not archives:
            raise InputError(
                f"--web: npm could not fetch {RUNTIME} {RUNTIME_VERSION} "
                f"({npm_reason(done.stderr)}): go online once, {otherwise}"
            )
        return archives[0].read_bytes()


def npm_reason(said: str) -> str:
    """The line that says why: npm first gives codes, and where its log is at the end."""
    lines = [line.removeprefix("npm error ").strip() for line in said.splitlines()]
    told = [line for line in lines if line and not line.startswith(("code ", "errno ", "syscall "))]
    return (told or lines or ["it did not say why"])[0]
