"""Records GPT-2's ids of hard strings as tiktoken gives them, or compares the project's with tiktoken's on many more.

    bpe.py --bpe DIR                                        writes bpe.jsonl and utf8.jsonl beside this file
    bpe.py --bpe DIR --compare build/gestalt_tests [TEXT…]  12,000 varied strings, every code point, and the texts
    bpe.py --bpe DIR --unicode                              the character classes that word_splitter.cpp adds to PCRE2's

DIR holds GPT-2's encoder.json and vocab.bpe. Needs: pip install tiktoken, and unicodedata2==16.0.0 for --unicode (in a
Python older than 3.13, whose own tables are of Unicode 14).
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time

import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

# As published with GPT-2 (openai/gpt-2, src/encoder.py).
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

SPACES = [chr(c) for c in (0x9, 0xA, 0xB, 0xC, 0xD, 0x1C, 0x1D, 0x1E, 0x1F, 0x20, 0x85, 0xA0, 0x1680, 0x180E, *range(0x2000, 0x200C),
                           0x200D, 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF)]


def reference(folder):
    ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
    return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})


def hard_strings():
    yield from ("", " ", "  ", "   ", "a", " a", "a ", "  a", "a  ", "a  b", "a   b", "\n", "\n\n", "\r\n", "\r", "a\nb", "a\n\nb",
                "a \n b", "a\r\nb\r\n\r\nc", "\r\r\n\n\r", "line one\n  line two\n\tline three\n", "\t\tx", " \t x", "x \t", "\v\f\x1c")
    yield from ("I'm you're he's we've they'll I'd can't", "I'M YOU'RE HE'S WE'VE THEY'LL I'D CAN'T", "'s't're've'm'll'd", "'sat 'tis",
                "''s", "' s", " 's", "don''t", "l'll'd've", "O\u2019Brien\u2019s", "rock 'n' roll", "'", "''''", "a'b'c", "1's 2'd", "'\u0301s")
    yield from ("0", "10", "3.14159", "1,000,000", "-1e-9", "0xDEADBEEF", "2024-02-29T23:59:59Z", " 42", "a1b2", "½¾²³", "٠١٢٣٤٥٦٧٨٩",
                "०१२३", "一二三", "ⅧⅨ", "①②③", "𝟘𝟙𝟚", "௧௨௩", "1\u0661", "12 ٣٤ 56")
    yield from ("naïve café", "nai\u0308ve cafe\u0301", "e\u0301\u0302\u0303", "\u0301", " \u0301", "Zalgo: Z\u0351\u036b\u0343\u036a\u0302a\u0363",
                "ÅÅ\u212b", "ﬁ ﬂ", "ǅ ǈ", "ﷺ", "ß ẞ", "İı", "Ωμέγα", "Привет, мир!", "Ћирилица", "שלום עולם", "مرحبا بالعالم",
                "\u202eabc\u202c", "\u200fא1ב\u200e", "नमस्ते दुनिया", "ভাষা", "தமிழ்", "ภาษาไทย", "ພາສາລາວ", "မြန်မာ", "ខ្មែរ", "བོད་ཡིག", "ქართული",
                "Հայերեն", "አማርኛ", "ᏣᎳᎩ", "ᐃᓄᒃᑎᑐᑦ", "ᠮᠣᠩᠭᠣᠯ", "a\u180eb", " \u180e ", "日本語のテキスト", "中文文本,标点。", "한국어", "\u1112\u1161\u11ab",
                "ｆｕｌｌ ｗｉｄｔｈ", "𠀀𠮷𪚥", "𐍈𐎠𒀀", "𝒜𝓁𝓅𝒽𝒶", "\U00031350", "ꟊꟋ")
    yield from ("😀", "😀😀 😀", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪🇫🇷", "❤️‍🔥", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "a😀b", "1️⃣", "☃", "©®™", "\ufffd", "\ufffe", "\U0010ffff", "\ue000",
                "\U000f0000")
    yield from ("\0", "a\0b", "\0\0\0", " \0", "\x01\x02\x7f", "\x80\x9f", "\x1b[31mred\x1b[0m", "\ufeffBOM", "soft\u00adhyphen", "a\u00a0b", "a\u00a0\u00a0b",
                "\u00a0 \u00a0x", "a\u3000b", "\u2028\u2029", "x\u0085y", "x\u0085 y")
    yield from ("!", "!!!", "...", " ...", "?!", "--", " -- ", "#hashtag @name", "a_b__c", "$100 €200 ¥300", "<html attr=\"x\">&amp;</html>",
                "C:\\path\\to", "/usr/bin/env", "https://example.org/a?b=c&d=%20#e", "user@example.org", "f(x) = a*x^2 + b", "{[()]}", "«»“”‘’„",
                "¿Qué?", "~`|\\", ";;;;", "for (int i = 0; i < n; ++i) {\n    x[i] += 1;\n}\n", "def f(x):\n\treturn x  # comment\n",
                "SELECT * FROM t WHERE a = 'b';", "\\u0041\\n", "== Title ==\n\n* item\n** item\n")
    yield from ("<|endoftext|>", "a<|endoftext|>b", "<|endoftext|", "<|startoftext|>", " <|endoftext|> ")
    yield from (" SolidGoldMagikarp", "rawdownload", " TheNitromeFan", "Hello world", "The quick brown fox jumps over the lazy dog.",
                "antidisestablishmentarianism", "supercalifragilisticexpialidocious", "HeLLo WoRLD", "ALLCAPS", "camelCaseWord snake_case_word")
    for c in SPACES:
        yield f"a{c}b"
        yield f"a {c}{c} b{c}"
    for unit, times in (("a", 1000), (" ", 1000), ("\n", 999), ("ab", 500), ("-", 777), ("1", 1000), ("é", 300), ("日", 300), ("😀", 200),
                        ("\u0301", 400), (" \n", 300), ("' ", 200), ("the ", 200), ("\0", 300), ("Aa1!", 100), ("\u3000", 200)):
        yield unit * times


def varied_strings(count, seed):
    """Random mixtures: of words, scripts, spaces and signs, of any characters at all, and of UTF-8's edge cases."""
    r = random.Random(seed)
    hard = [s for s in hard_strings() if len(s) < 60]
    words = "the of and to in a is that for it he was on as with his at by had not are but from or have an they which".split()
    scripts = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F),
               (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x20A0, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF),
               (0xAC00, 0xD7A3), (0xFE00, 0xFFFF), (0x10000, 0x10FFF), (0x1D400, 0x1D7FF), (0x1F000, 0x1FAFF), (0x20000, 0x2A6DF)]

    def piece():
        kind = r.randrange(9)
        if kind == 0:
            return r.choice(["", " "]) + r.choice(words)
        if kind == 1:
            return "".join(r.choice(SPACES) for _ in range(r.randint(1, 4)))
        if kind == 2:
            return r.choice(["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'", "\u2019s"])
        if kind == 3:
            return str(r.randrange(10 ** r.randint(1, 12)))
        if kind == 4:
            low, high = r.choice(scripts)
            return "".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 8)))
        if kind == 5:
            return "".join(r.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") for _ in range(r.randint(1, 5)))
        if kind == 6:
            c = r.randrange(0x110000 - 0x800)
            return chr(c if c < 0xD800 else c + 0x800)
        if kind == 7:
            return r.choice(hard)
        return "".join(r.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(r.randint(1, 12)))

    for _ in range(count):
        yield "".join(piece() for _ in range(r.randint(1, 20)))


def every_code_point():
    """Each character after and before letters, digits, signs and spaces, where a wrong class would show."""
    block = []
    for c in (*range(0xD800), *range(0xE000, 0x110000)):
        x = chr(c)
        block.append(f"a{x}b {x} 1{x}2  {x}x!{x}'{x}{x} \n")
        if len(block) == 64:
            yield "".join(block)
            block = []
    yield "".join(block)


def ill_formed(seed):
    """Bytes that are no UTF-8 in every way there is, and random mixtures of such."""
    parts = [b"\x80", b"\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xc2", b"\xc2A", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xe0\xa0", b"\xe1\x80", b"\xe1\x80A",
             b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\x9f\xbf", b"\xef\xbf\xbd", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x80", b"\xf0\x90\x80\x80",
             b"\xf1\x80\x80", b"\xf1\x80A", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff", b"abcdefghijk", b" ",
             b"\xc3\xa9", b"\xe2\x82\xac", b"\xf0\x9f\x98\x80"]
    yield from parts
    yield bytes(range(256))
    r = random.Random(seed)
    for _ in range(60):
        yield b"".join(r.choice(parts) for _ in range(r.randint(2, 6)))
    for _ in range(40):
        yield bytes(r.choice((0x20, 0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0xE0, 0xE1, 0xED, 0xF0, 0xF3, 0xF4)) for _ in range(24))


def runs(ids):
    result = []
    for i in ids:
        if result and result[-1][0] == i:
            result[-1][1] += 1
        else:
            result.append([i, 1])
    return result


def write_long(file, encoding):
    """Words of 100,000 characters; ids as [id, times] runs where they repeat."""
    for unit in ("a", " ", "\n", "-", "1", "é"):
        count = 100_000 // len(unit.encode())
        file.write(json.dumps({"unit": unit, "times": count, "runs": runs(encoding.encode_ordinary(unit * count))}, separators=(",", ":")) + "\n")


def write(path, strings, encoding):
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for text in strings:
            ids = encoding.encode_ordinary(text)
            f.write(json.dumps({"text": text, "ids": ids}, separators=(",", ":")) + "\n")
            count += 1
    return count


def compare(program, encoding, texts):
    with tempfile.TemporaryDirectory() as folder:
        varied = list(varied_strings(12_000, 1))
        bodies = [pathlib.Path(t).read_text(encoding="utf-8") for t in texts]
        long = [u * (100_000 // len(u)) for u in ("a", " ", "ab", "\n", "日", "1", "-=", " a")] + [" " * 100_000 + "x"]
        for name, strings in (("varied strings", varied), ("every code point", every_code_point()), ("long runs", long), ("texts", bodies)):
            path = os.path.join(folder, "ids.jsonl")
            count = write(path, strings, encoding)
            run = subprocess.run([program, "-tc=gpt2 ids equal recorded ids"], env={**os.environ, "GESTALT_BPE_IDS": path},
                                 capture_output=True, text=True)
            ran = "test cases: 1 | 1 passed" in " ".join(run.stdout.split()) and "skipped: no data" not in run.stdout
            print(f"{name}: {count} records, {'all ids equal' if run.returncode == 0 and ran else 'DIFFERENT'}")
            if run.returncode or not ran:
                print(run.stdout[-4000:])
        for body in bodies:
            size = len(body.encode())
            seconds = min(timed(lambda: encoding.encode_ordinary(body)) for _ in range(5))
            print(f"tiktoken {tiktoken.__version__}, one thread: {size / seconds / 1e6:.1f} MB/s")


def print_new_classes(encoding):
    """Letters and numbers since Unicode 14, after making sure that tiktoken's classes are those of Unicode 16."""
    import unicodedata
    import unicodedata2

    assert unicodedata.unidata_version == "14.0.0" and unicodedata2.unidata_version == "16.0.0"
    contraction = encoding.encode_ordinary("'ll")
    for kind in "LN":
        new = []
        for c in (*range(0xD800), *range(0xE000, 0x110000)):
            x = chr(c)
            old_class, new_class = unicodedata.category(x)[0], unicodedata2.category(x)[0]
            # Only behind a letter, a number or a space does the apostrophe begin a piece of its own.
            if not x.isspace():
                assert (new_class in "LN") == (encoding.encode_ordinary(x + "'ll")[-1:] == contraction), hex(c)
            assert old_class == new_class or old_class not in "LN", hex(c)
            if new_class == kind != old_class:
                if new and new[-1][1] == c - 1:
                    new[-1][1] = c
                else:
                    new.append([c, c])
        print(kind, "".join(f"\\x{{{a:x}}}" if a == b else f"\\x{{{a:x}}}-\\x{{{b:x}}}" for a, b in new))


def timed(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpe", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--compare", metavar="PROGRAM")
    parser.add_argument("--unicode", action="store_true")
    parser.add_argument("texts", nargs="*")
    arguments = parser.parse_args()
    encoding = reference(arguments.bpe)
    if arguments.unicode:
        print_new_classes(encoding)
    elif arguments.compare:
        compare(arguments.compare, encoding, arguments.texts)
    else:
        path = pathlib.Path(__file__).with_name("bpe.jsonl")
        print(f"{path}: {write(path, hard_strings(), encoding)} strings and the long words")
        with open(path, "a", encoding="utf-8", newline="\n") as f:
            write_long(f, encoding)
        with open(path.with_name("utf8.jsonl"), "w", encoding="utf-8", newline="\n") as f:
            for case in ill_formed(2):
                f.write(json.dumps({"bytes": case.hex(), "text": case.decode("utf-8", errors="replace")}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
