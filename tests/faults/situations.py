#!/usr/bin/env python3
"""What happens around a run: two writers, data that vanish, disks that fill, a folder that is taken away, output that
nobody reads.

    tests/faults/situations.py BUILD_DIR [--only NAME]

Each is made for real: a second program, a renamed folder, a file system of 4 MiB (as root; else that one is said to be left
out). What must hold: the error names the place and the reason with status 1, a run that was disturbed goes on by `--resume`
once the cause is gone, and ends with the bytes of one that was not.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SAME = ["encoder.safetensors", "metrics.csv"]
TRAINING = ["pretrain", "simclr", "--preset", "tiny", "--size", "32", "--epochs", "8", "--batch", "8", "--checkpoint-minutes", "0", "--dtype", "f32", "--probe-every", "4"]


class Situation:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.photos, self.out = f"{folder}/photos", f"{folder}/run"
        write_images(self.photos)
        self.gestalt(*TRAINING, "--data", f"images:{self.photos}", "--out", f"{folder}/whole")
        self.whole = self.outcome(f"{folder}/whole")

    def start(self, *arguments):
        return subprocess.Popen([self.program, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace")

    def gestalt(self, *arguments, status=0, says=()):
        return self.end(self.start(*arguments), status, says)

    def end(self, child, status=0, says=()):
        text = child.communicate(timeout=300)[0]
        expect(child.returncode == status, f"status {child.returncode} instead of {status}: {text[-800:]}")
        for part in says:
            expect(part in text, f"'{part}' is not said: {text[-800:]}")
        return text

    def begin(self, out=None, line=None):
        """A run that has made its first checkpoint but that of step 0, which goes with a start that fails."""
        out = out or self.out
        child = self.start(*(line or [*TRAINING, "--data", f"images:{self.photos}", "--out"]), out)
        while not os.path.exists(f"{out}/checkpoint.previous.safetensors"):
            expect(child.poll() is None, "it ended before its first checkpoint: " + (child.communicate()[0] if child.poll() is not None else ""))
            time.sleep(0.01)
        return child

    def outcome(self, out):
        return [open(f"{out}/{name}", "rb").read() for name in SAME]

    def ends_as_the_whole(self, *more, out=None):
        self.gestalt("pretrain", "simclr", "--resume", out or self.out, *more)
        expect(self.outcome(out or self.out) == self.whole, "the outcome differs from that of an undisturbed run")


def expect(true, text):
    if not true:
        raise AssertionError(text)


def write_images(folder, count=64, size=48):
    """Noise in two classes as PNG files, made by hand, for no library need be here."""
    import random
    import struct
    import zlib
    draw = random.Random(1)
    for index in range(count):
        rows = b"".join(b"\0" + draw.randbytes(48) * (size // 16) for _ in range(size))
        chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        path = f"{folder}/{'ab'[index % 2]}/{index:03}.png"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def two_writers(s):
    child = s.begin()
    child.send_signal(signal.SIGSTOP)
    try:
        s.gestalt("pretrain", "simclr", "--resume", s.out, status=1, says=["another process", s.out])
        s.gestalt(*TRAINING, "--data", f"images:{s.photos}", "--out", s.out, status=1, says=[s.out])
    finally:
        child.send_signal(signal.SIGCONT)
    s.end(child)
    expect(s.outcome(s.out) == s.whole, "the first writer was disturbed")


def data_vanish(s):
    """Images that do not fit in memory are read while the run trains: so many links to a few stand for them."""
    large = f"{s.folder}/large"
    write_images(large, 8, 640)
    for index in range(24000):
        name = f"{'ab'[index % 2]}/{index % 8:03}.png"
        os.symlink(os.path.abspath(f"{large}/{name}"), f"{large}/{name[0]}/link-{index:05}.png")
    line = ["pretrain", "simclr", "--preset", "tiny", "--size", "224", "--steps", "30", "--batch", "4", "--checkpoint-minutes", "0", "--dtype", "f32", "--probe-every", "0",
            "--unlabelled", "--data", f"images:{large}", "--out"]
    s.gestalt(*line, f"{s.folder}/undisturbed")
    s.whole = s.outcome(f"{s.folder}/undisturbed")
    child = s.begin(s.out, line)
    os.rename(large, large + ".gone")
    s.end(child, 1, [large])
    s.gestalt("pretrain", "simclr", "--resume", s.out, status=1, says=[large, "--data"])
    os.rename(large + ".gone", large)
    s.ends_as_the_whole()


def pack_is_cut(s):
    """A file that is mapped, and loses its second half while the run reads it."""
    pack = f"{s.folder}/x.packed"
    s.gestalt("pack", "shapes:600", pack)
    line = [*TRAINING, "--steps", "100", "--data", f"packed:{pack}", "--out"]
    s.gestalt(*line, f"{s.folder}/undisturbed")
    s.whole = s.outcome(f"{s.folder}/undisturbed")
    child = s.begin(s.out, line)
    shutil.copy(pack, pack + ".whole")
    os.truncate(pack, os.path.getsize(pack) // 2)
    s.end(child, 1, [pack, "cut short"])
    os.rename(pack + ".whole", pack)
    s.ends_as_the_whole()


def one_image_vanishes(s):
    child = s.begin()
    shutil.copytree(s.photos, s.photos + ".kept")
    os.remove(f"{s.photos}/a/002.png")
    s.end(child)  # one of 64 is below the limit of damage: it is said, and training goes on
    shutil.rmtree(s.out)


def run_folder_vanishes(s):
    child = s.begin()
    os.rename(s.out, s.out + ".moved")
    text = child.communicate(timeout=300)[0]
    expect(child.returncode in (0, 1), f"status {child.returncode}: {text[-800:]}")
    expect(child.returncode == 0 or s.out in text, f"the folder is not named: {text[-800:]}")
    if child.returncode:
        s.ends_as_the_whole(out=s.out + ".moved")


def disk_fills(s):
    """Everything that writes, on a disk that has some place left and then none."""
    disk = f"{s.folder}/disk"
    os.mkdir(disk)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode:
        return "left out: no file system can be mounted here"
    try:
        out = f"{disk}/run"
        child = s.begin(out)
        fill(f"{disk}/filler")
        s.end(child, 1, ["No space left on device", disk])
        for line in (["pack", "shapes:2000", f"{disk}/x.packed"], ["embed", f"{s.folder}/whole", "--data", f"images:{s.photos}", "--out", f"{disk}/e.npy"],
                     ["export", f"{s.folder}/whole", "--out", f"{disk}/hub"], ["report", f"{s.folder}/whole", "--out", f"{disk}/r.html"]):
            fill(f"{disk}/filler")  # what failed has given its place back
            s.gestalt(*line, status=1, says=["No space left on device", disk])
        left = [name for _, _, names in os.walk(disk) for name in names if ".part-" in name]
        expect(not left, f"left behind: {left}")
        os.remove(f"{disk}/filler")
        s.ends_as_the_whole(out=out)
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(path):
    with open(path, "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def nobody_listens(s):
    """Output that is closed, full, or read by a program that ends; a terminal that goes away."""
    line = " ".join([s.program, *TRAINING, "--data", f"images:{s.photos}", "--out", s.out])
    for place, status in [("2>&-", 0), ("<&-", 0), (">&- 2>&-", 1), (">/dev/full 2>/dev/full", 1), ("2>&1 | head -n 1; exit ${PIPESTATUS[0]}", 141)]:
        code = subprocess.run(["bash", "-c", f"{line} {place}"], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, timeout=300).returncode
        expect(code == status, f"status {code} instead of {status} with {place}")
        expect(s.outcome(s.out) == s.whole, f"the outcome with {place} differs")
        shutil.rmtree(s.out)
    limited = subprocess.run(["bash", "-c", f"ulimit -f 20; {line}"], capture_output=True, text=True, timeout=300)
    expect(limited.returncode == 1 and "File too large" in limited.stderr, f"status {limited.returncode} with a limit of a file's size: {limited.stderr[-400:]}")
    child = s.begin()
    child.send_signal(signal.SIGHUP)
    s.end(child, 128 + signal.SIGHUP)
    s.ends_as_the_whole()


SITUATIONS = [two_writers, data_vanish, pack_is_cut, one_image_vanishes, run_folder_vanishes, disk_fills, nobody_listens]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--only", choices=[s.__name__ for s in SITUATIONS])
    options = parser.parse_args()
    bad = 0
    for situation in SITUATIONS:
        if options.only not in (None, situation.__name__):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                said = situation(Situation(os.path.abspath(f"{options.build}/gestalt"), folder)) or "right"
            except AssertionError as wrong:
                bad, said = bad + 1, f"WRONG: {wrong}"
            print(f"{situation.__name__.replace('_', ' ')}: {said}", flush=True)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
