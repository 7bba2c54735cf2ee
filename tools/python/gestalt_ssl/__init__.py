"""Gestalt from Python: pretrains encoders without labels, and gives their features as arrays.

The package carries the program `gestalt` and runs it; `help(gestalt_ssl.pretrain)` says how its flags are given::

    import gestalt_ssl

    run = gestalt_ssl.pretrain("simclr", data="images:photos", size=64, epochs=20, callback=print)
    features = gestalt_ssl.embed(run.folder, "images:photos")  # (N, D) float32
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np

from ._pack import Image, Sample, write_samples

__all__ = ["GestaltError", "Image", "Run", "Sample", "embed", "pack", "pretrain", "program", "run"]

Source = Union[str, "os.PathLike[str]"]


class GestaltError(RuntimeError):
    """What the program complained of, in its words; `status` is its exit status, less than 0 for a signal."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Run:
    """A run of `pretrain()`."""

    folder: Path
    rows: list[dict[str, float]]  #: of metrics.csv; a cell that is empty there has no key here
    stopped: bool  #: by the callback; `pretrain(resume=run.folder)` goes on
    text: str  #: what the program printed


def program() -> str:
    """The program's path: the one in this package or, without one, the one that the shell finds."""
    here = Path(__file__).with_name("bin") / "gestalt"
    return str(here) if here.exists() else "gestalt"


def main() -> None:
    """The command `gestalt`."""
    os.execvp(program(), ["gestalt", *sys.argv[1:]])


def _flags(flags: dict[str, Any]) -> list[str]:
    words = []
    for name, value in flags.items():
        name = name.rstrip("_").replace("_", "-")
        if value is None:
            continue
        if isinstance(value, (bool, np.bool_)):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words.append(f"--{name}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return words


def run(*words: str, verbose: bool = False, watch: Callable[[], bool] | None = None) -> tuple[str, int]:
    """Runs `gestalt WORDS…` and returns what it printed and its exit status, which is 0, 4 or, where `watch` stopped it,
    another. `watch` is called some times a second; where it returns False, or raises, the program is interrupted, which
    saves what it has. Raises GestaltError where the program fails. With `verbose`, what it says of its progress goes to
    sys.stderr."""
    said: list[str] = []
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        # In a session of its own, so that Ctrl-C reaches it once, from here.
        process = subprocess.Popen([program(), *words], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE,
                                   text=True, errors="replace", start_new_session=True)

        def listen() -> None:
            assert process.stderr
            for line in process.stderr:
                said.append(line)
                if verbose:
                    sys.stderr.write(line)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        stopped = False
        try:
            while process.poll() is None:
                if watch and not stopped and not watch():
                    stopped = True
                    process.send_signal(signal.SIGINT)
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    pass
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait()
            except BaseException:
                process.kill()
                raise
            raise
        finally:
            listener.join(10)
        output.seek(0)
        printed = output.read()
    status = process.returncode
    message = "".join(said).rpartition("gestalt: ")[2].strip()
    interrupted = stopped and status in (128 + signal.SIGINT, -signal.SIGINT)
    if status == 4:
        warnings.warn(message, stacklevel=3)
    elif status != 0 and not interrupted:
        if status < 0:
            message = f"the program was ended by {signal.Signals(-status).name}\n{''.join(said[-3:])}".strip()
        raise GestaltError(message, status)
    return printed, status


class _Rows:
    """The rows of a metrics.csv that is being written."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.last_step = max((row["step"] for row in self.read()), default=-1)

    def read(self) -> list[dict[str, float]]:
        try:
            text = self.file.read_text()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [{name: float(cell) if name != "step" else int(cell) for name, cell in row.items() if cell}
                for row in csv.DictReader(whole)]

    def new(self) -> list[dict[str, float]]:
        rows = [row for row in self.read() if row["step"] > self.last_step]
        if rows:
            self.last_step = rows[-1]["step"]
        return rows


def pretrain(method: str | None = None, *, callback: Callable[[dict[str, float]], object] | None = None,
             verbose: bool = False, **flags: Any) -> Run:
    """Trains an encoder without labels: `gestalt pretrain METHOD --FLAG…`.

    `pretrain("simclr", data="images:photos", weight_decay=1e-4)`: flags are those of `gestalt pretrain METHOD --help` with _ for
    -, True for one that takes no value, False for its --no- form, None for one that is not given. Without a method,
    `data` and the machine choose. Without `out` the run's folder is runs/METHOD-DATE.

    `callback` gets each row of metrics.csv as it is written: a dict of its columns. Where it returns False, the run
    saves and stops; where it raises, so does this, after the run has saved and stopped. `pretrain(resume=run.folder)`
    goes on, and calls it for the rows that follow. Raises GestaltError with the program's message."""
    if flags.get("resume") is not None:
        folder = Path(flags["resume"])
    else:
        folder = Path(flags.pop("out", None) or Path("runs", time.strftime(f"{method or 'run'}-%Y%m%d-%H%M%S")))
        flags["out"] = folder
    rows = _Rows(folder / "metrics.csv")

    def watch() -> bool:
        return all(callback(row) is not False for row in rows.new()) if callback else True

    words = ["pretrain", *([method] if method else []), *_flags(flags)]
    text, status = run(*words, verbose=verbose, watch=watch)
    # What was written after the last look.
    stopped = status not in (0, 4)
    if not stopped:
        watch()
    return Run(folder, rows.read(), stopped, text)


def embed(encoder: Source | Run, data: Source | Iterable[Image], *, out: Source | None = None, verbose: bool = False,
          **flags: Any) -> np.ndarray:
    """The features of every image, (N, D) float32 in the order of the data: `gestalt embed ENCODER --data DATA`.

    `encoder` is a Run, the folder of a run or a safetensors file, also torchvision's, timm's or transformers'. `data` is a
    source as `gestalt list data` has them, the path of a folder of images, or images: arrays (H, W, 3) of uint8 or PIL's,
    all of one size. With `out`, NAME.npy, the file stays, with NAME.files.csv that names the rows, and the array is mapped
    from it. An image that cannot be read has no row, and is warned of. Raises GestaltError with the program's message."""
    where = encoder.folder if isinstance(encoder, Run) else encoder
    with tempfile.TemporaryDirectory() as work:
        if isinstance(data, os.PathLike):
            spec = f"images:{os.fspath(data)}"
        else:
            spec = data if isinstance(data, str) else pack(data, Path(work, "images.packed"))
        file = Path(os.fspath(out) if out else Path(work, "e.npy"))
        run("embed", os.fspath(where), *_flags({"data": spec, "out": file, **flags}), verbose=verbose)
        skipped = file.with_suffix(".skipped.csv")
        if skipped.exists():
            with open(skipped, newline="") as table:
                warnings.warn(f"{sum(1 for _ in csv.DictReader(table))} images could not be read", stacklevel=2)
        features: np.ndarray = np.load(file, mmap_mode="r" if out else None)
        return features


def pack(samples: Iterable[Sample], out: Source, *, size: int = 0, verbose: bool = False, **flags: Any) -> str:
    """Writes images to one file that training maps into memory, and returns its name as a source: "packed:OUT".

    A sample is an image, or a tuple of an image and its label, a text or a number; an image is an array of uint8, (H, W,
    3) or grey (H, W), or one of PIL's. They are taken one at a time, so `samples` may be longer than the memory. `size` is
    the side of the squares that they are cut to; 0: as they are, if all have one size. Raises GestaltError with the
    program's message, and ValueError for what is no image."""
    file = Path(os.fspath(out))
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", suffix=".tar") as archive:
        write_samples(samples, archive)
        run("pack", f"tar:{archive.name}", str(file), *_flags({"size": size, **flags}), verbose=verbose)
    return f"packed:{file}"
