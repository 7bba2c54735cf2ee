#!/usr/bin/env python3
"""Types at a shell's prompt, with the completion that the installed program has for it, and compares the arguments that
the program then gets: tests/package/try_completion.py SHARE bash|zsh|fish…"""

import os
import pty
import re
import select
import shutil
import sys
import tempfile
import time
from pathlib import Path

# What is typed, <TAB> as \t, and the arguments that come of it, less a folder's last slash, which zsh takes away.
CASES = [
    ("pretr\tsimc\t", ["pretrain", "simclr"]),
    ("evaluate li\t", ["evaluate", "linear"]),
    ("pretrain simclr --tempe\t0.5", ["pretrain", "simclr", "--temperature", "0.5"]),
    ("pretrain simclr --preset simclr-q\t", ["pretrain", "simclr", "--preset", "simclr-quickstart"]),
    ("pretrain simclr --model resnet5\t", ["pretrain", "simclr", "--model", "resnet50"]),
    ("pretrain simclr --dtype=b\t", ["pretrain", "simclr", "--dtype=bf16"]),
    ("pretrain --data ima\tpho\t", ["pretrain", "--data", "images:photos"]),
    ("pretrain --data=images:photos,sha\t", ["pretrain", "--data=images:photos,shapes"]),
    ("evaluate knn tra\t", ["evaluate", "knn", "trained"]),
]
SETUP = {
    "bash": (["bash", "--norc", "-i"], "PS1='> '; source {share}/bash-completion/completions/gestalt\n"),
    "zsh": (["zsh", "-f", "-i"], "PS1='> '; autoload -U compinit; compinit -D; source {share}/zsh/*/_gestalt\n"),
    "fish": (["fish", "--no-config", "-i"], "source {share}/fish/vendor_completions.d/gestalt.fish\n"),
}


class Terminal:
    def __init__(self, words, folder):
        self.process, self.file = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.environ.update(PATH=f"{folder}/bin:{os.environ['PATH']}", TERM="dumb", HOME=str(folder))
            os.execvp(words[0], words)

    def read(self, first=0.2, quiet=0.3):
        """What arrives until nothing does for `quiet` seconds; waits `first` seconds for the beginning."""
        text = b""
        while select.select([self.file], [], [], quiet if text else first)[0]:
            try:
                text += os.read(self.file, 65536)
            except OSError:
                break
        return text.decode(errors="replace")

    def type(self, text):
        os.write(self.file, text.encode())


def start(shell, share, folder):
    words, setup = SETUP[shell]
    terminal = Terminal(words, folder)
    terminal.read(first=10, quiet=1)
    terminal.type(setup.format(share=share))
    terminal.read(first=10, quiet=1)
    return terminal


def arguments(terminal, typed, folder):
    """What the program gets where `typed` and the return key are typed, and what the terminal showed."""
    got = folder / "got"
    got.unlink(missing_ok=True)
    said = ""
    for part in re.split(r"(\t)", "gestalt " + typed + "\n"):
        terminal.type(part)
        said += terminal.read(first=10) if part == "\t" else terminal.read()
    end = time.monotonic() + 10
    while not got.exists() and time.monotonic() < end:
        time.sleep(0.05)
    said += terminal.read()
    return ([word.rstrip("/") for word in got.read_text().splitlines()] if got.exists() else None), said


def main():
    share, shells = Path(sys.argv[1]).resolve(), sys.argv[2:]
    real, failed = shutil.which("gestalt"), 0
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for name in ("photos", "trained", "bin"):
            (folder / name).mkdir()
        # Notes its arguments, unless it is asked for words.
        program = folder / "bin/gestalt"
        program.write_text(f"""#!/bin/sh
[ "$1" = list ] && exec {real} "$@"
printf '%s\\n' "$@" >{folder}/got.part && mv {folder}/got.part {folder}/got
""")
        program.chmod(0o755)
        for shell in shells:
            terminal = start(shell, share, folder)
            for typed, expected in CASES:
                got, said = arguments(terminal, typed, folder)
                if got != expected:
                    failed += 1
                    print(f"{shell}: typed {typed!r}, got {got}, expected {expected}\n{said}", file=sys.stderr)
            os.kill(terminal.process, 9)
            os.waitpid(terminal.process, 0)
            os.close(terminal.file)
            print(f"completion in {shell}: {len(CASES)} lines typed")
    sys.exit(failed > 0)


main()
