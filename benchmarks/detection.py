"""``python -m benchmarks.detection [--seed N] [--size N]``: how much of what it should find the scanner finds.

Texts are templates whose fields Faker fills, in many locales; those of the presidio-evaluator wheel are used too where
it is installed. A field counts as found when a span of its kind overlaps it by half (intersection over union); a span
that no field explains counts against precision. Numbers of all the world's countries come from phonenumbers, IBANs from
python-stdnum's list of their structures. The negative corpus holds what looks like personal data and is none.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import re
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.detection_data import NEGATIVES, TEMPLATES

LOCALES = (
    "en_US en_US en_US en_GB en_CA en_AU en_IN en_NZ de_DE de_AT de_CH fr_FR fr_CH es_ES es_MX it_IT nl_NL pt_BR pt_PT "
    "pl_PL sv_SE da_DK no_NO fi_FI cs_CZ hu_HU ro_RO tr_TR ru_RU uk_UA el_GR ja_JP zh_CN ko_KR he_IL"
).split()
TARGETS = {
    "email": (1.0, 0.99),
    "phone": (0.80, 0.90),
    "ssn": (1.0, 0.98),
    "card": (0.99, 0.98),
    "iban": (0.99, 1.0),
    "ip": (1.0, 0.95),
    "secret": (1.0, 0.99),
}
"""The least recall and precision."""

FALSE_HITS = 0.1
"""The most spans in 10 kB of the negative corpus."""

FIELDS = {
    "credit_card_number": "card",
    "phone_number": "phone",
    "email": "email",
    "iban": "iban",
    "ssn": "ssn",
    "ip_address": "ip",
    "secret": "secret",
}
HEX = "0123456789abcdef"
BASE62 = string.ascii_letters + string.digits


@dataclass
class Score:
    found: int = 0
    fields: int = 0
    right: int = 0
    spans: int = 0
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.fields if self.fields else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.spans if self.spans else 1.0


def chars(dice: random.Random, alphabet: str, count: int) -> str:
    return "".join(dice.choices(alphabet, k=count))


def secrets(dice: random.Random) -> str:
    """A secret as its vendor makes them."""

    def base64url(count: int) -> str:
        return chars(dice, BASE62 + "-_", count - 1) + dice.choice(BASE62)

    lines = "\n".join(chars(dice, BASE62 + "+/", 64) for _ in range(dice.randrange(3, 26)))
    kind = dice.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    makers: list[Callable[[], str]] = [
        lambda: "sk-" + chars(dice, BASE62, 48),
        lambda: "sk-proj-" + base64url(dice.choice([48, 156])),
        lambda: "sk-svcacct-" + base64url(80),
        lambda: "sk-ant-api03-" + base64url(93) + "AA",
        lambda: "AKIA" + chars(dice, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        lambda: "ASIA" + chars(dice, string.ascii_uppercase + string.digits, 16),
        lambda: "gh" + dice.choice("pousr") + "_" + chars(dice, BASE62, 36),
        lambda: "github_pat_" + chars(dice, BASE62, 22) + "_" + chars(dice, BASE62, 59),
        lambda: "AIza" + base64url(35),
        lambda: "GOCSPX-" + base64url(28),
        lambda: "ya29." + base64url(120),
        lambda: f"xoxb-{dice.randrange(10**11, 10**12)}-{dice.randrange(10**12, 10**13)}-{chars(dice, BASE62, 24)}",
        lambda: f"xoxp-{dice.randrange(10**11, 10**12)}-{dice.randrange(10**11, 10**12)}-{chars(dice, HEX, 32)}",
        lambda: f"xapp-1-A{chars(dice, BASE62.upper(), 10)}-{dice.randrange(10**12, 10**13)}-{chars(dice, HEX, 64)}",
        lambda: (
            dice.choice(["sk", "rk"]) + dice.choice(["_live_", "_test_"]) + chars(dice, BASE62, dice.choice([24, 99]))
        ),
        lambda: "whsec_" + chars(dice, BASE62, 32),
        lambda: "hf_" + chars(dice, string.ascii_letters, 34),
        lambda: f"eyJ{base64url(33)}.eyJ{base64url(dice.randrange(40, 200))}.{base64url(43)}",
        lambda: f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----",
        lambda: "Bearer " + base64url(dice.randrange(20, 60)),
        lambda: f"Bearer {base64url(20)}.{base64url(30)}.{base64url(27)}",
    ]
    return dice.choice(makers)()


def templates() -> list[str]:
    """The ones here, and those of the presidio-evaluator wheel where it is."""
    spec = importlib.util.find_spec("presidio_evaluator")
    found = list(TEMPLATES)
    if spec is not None and spec.submodule_search_locations:
        path = Path(spec.submodule_search_locations[0], "data_generator", "raw_data", "templates.txt")
        if path.exists():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found += [line.replace("\\n", "\n").replace("\\,", ",") for line in lines]
    return found


class Filler:
    """Fills templates; `fake` is one Faker for each locale."""

    def __init__(self, seed: int) -> None:
        faker = importlib.import_module("faker")
        self.dice = random.Random(seed)
        self.fakers = [faker.Faker(locale) for locale in LOCALES]
        for number, fake in enumerate(self.fakers):
            fake.seed_instance(seed + number)
        self.us = self.fakers[0]

    def value(self, name: str, fake: Any) -> str:
        if name == "ssn":
            return str(self.us.ssn())
        if name == "secret":
            return secrets(self.dice)
        if name == "ip_address":
            return str(fake.ipv4() if self.dice.random() < 0.7 else fake.ipv6())
        if name == "credit_card_number":
            digits = str(fake.credit_card_number())
            if self.dice.random() < 0.35 and len(digits) in (15, 16):
                cut = self.dice.choice(" -")
                sizes = [4, 6, 5] if len(digits) == 15 else [4, 4, 4, 4]
                parts = [digits[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(len(sizes))]
                return cut.join(parts)
            return digits
        if name == "iban":
            text = str(fake.iban())
            if self.dice.random() < 0.4:
                return " ".join(text[i : i + 4] for i in range(0, len(text), 4))
            return text
        for source in (fake, self.us):
            try:
                return str(getattr(source, name)())
            except AttributeError:
                continue
        return {"person": fake.name, "organization": fake.company}.get(name, fake.word)()

    def fill(self, template: str) -> tuple[str, list[tuple[int, int, str]]]:
        """The text, and where in its UTF-8 the fields of a kind are."""
        fake = self.dice.choice(self.fakers)
        text, fields, position = b"", [], 0
        for match in re.finditer(r"\{\{(\w+)\}\}", template):
            text += template[position : match.start()].encode()
            value = self.value(match[1], fake).encode()
            if match[1] in FIELDS:
                fields.append((len(text), len(text) + len(value), FIELDS[match[1]]))
            text += value
            position = match.end()
        return (text + template[position:].encode()).decode(), fields


def overlap(a: tuple[int, int], b: tuple[int, int]) -> float:
    common = min(a[1], b[1]) - max(a[0], b[0])
    return max(0, common) / (max(a[1], b[1]) - min(a[0], b[0]))


def judge(scan: ModuleType, data: bytes, fields: list[tuple[int, int, str]], scores: dict[str, Score]) -> None:
    spans = [(start, end, scan.KINDS[kind]) for start, end, kind in scan.scan_text(data)]
    for start, end, kind in fields:
        scores[kind].fields += 1
        if any(kind == k and overlap((start, end), (s, e)) >= 0.5 for s, e, k in spans):
            scores[kind].found += 1
        else:
            scores[kind].missed.append(data[max(0, start - 30) : end + 10].decode(errors="replace"))
    for start, end, kind in spans:
        scores[kind].spans += 1
        if any(kind == k and overlap((start, end), (s, e)) >= 0.5 for s, e, k in fields):
            scores[kind].right += 1
        else:
            scores[kind].wrong.append(data[max(0, start - 30) : end + 10].decode(errors="replace"))


def filled(scan: ModuleType, size: int, seed: int) -> dict[str, Score]:
    """So many filled templates, at least half of which have something to find."""
    filler = Filler(seed)
    every = templates()
    rich = [template for template in every if any(f"{{{{{name}}}}}" in template for name in FIELDS)]
    scores = {kind: Score() for kind in scan.KINDS}
    for number in range(size):
        text, fields = filler.fill(filler.dice.choice(rich if number % 2 else every))
        judge(scan, text.encode(), fields, scores)
    return scores


def example_numbers(scan: ModuleType) -> dict[str, Score]:
    """Every region's example numbers of each sort, in three notations, after a word that says what they are."""
    numbers = importlib.import_module("phonenumbers")
    notations = {
        "E.164": numbers.PhoneNumberFormat.E164,
        "international": numbers.PhoneNumberFormat.INTERNATIONAL,
        "national": numbers.PhoneNumberFormat.NATIONAL,
    }
    scores = {}
    for name, notation in notations.items():
        kinds = {kind: Score() for kind in scan.KINDS}
        for region in sorted(numbers.SUPPORTED_REGIONS):
            for sort in (numbers.PhoneNumberType.FIXED_LINE, numbers.PhoneNumberType.MOBILE):
                example = numbers.example_number_for_type(region, sort)
                if example is None:
                    continue
                value = numbers.format_number(example, notation)
                data = f"You can call {value}, or write to us.".encode()
                start = data.index(value.encode())
                judge(scan, data, [(start, start + len(value.encode()), "phone")], kinds)
        scores[name] = kinds["phone"]
    return scores


def ibans(scan: ModuleType, seed: int) -> Score:
    """An IBAN of every country whose structure python-stdnum has."""
    stdnum = importlib.import_module("stdnum.iban")
    dice = random.Random(seed)
    scores = {kind: Score() for kind in scan.KINDS}
    text = Path(stdnum.__file__).with_name("iban.dat").read_text(encoding="utf-8")
    for country, structure in re.findall(r'^([A-Z]{2}) country="[^"]*" bban="([^"]*)"', text, re.MULTILINE):
        for cut in (False, True):
            parts = re.findall(r"(\d+)!([nac])", structure)
            alphabets = {"n": string.digits, "a": string.ascii_uppercase, "c": string.ascii_uppercase + string.digits}
            rest = "".join(chars(dice, alphabets[kind], int(count)) for count, kind in parts)
            value = country + stdnum.calc_check_digits(f"{country}00{rest}") + rest
            value = " ".join(value[i : i + 4] for i in range(0, len(value), 4)) if cut else value
            data = f"Please transfer it to {value}, thank you.".encode()
            judge(scan, data, [(22, 22 + len(value), "iban")], scores)
    return scores["iban"]


def negatives(size: int, seed: int) -> Iterator[bytes]:
    """So many texts with nothing to find."""
    dice = random.Random(seed)
    makers: dict[str, Callable[[], str]] = {
        "int": lambda: str(dice.randrange(10 ** dice.randrange(1, 9))),
        "small": lambda: str(dice.randrange(100)),
        "year": lambda: str(dice.randrange(1970, 2030)),
        "two": lambda: f"{dice.randrange(1, 13):02}",
        "three": lambda: f"{dice.randrange(1000):03}",
        "six": lambda: f"{dice.randrange(10**6):06}",
        "id": lambda: str(dice.randrange(10 ** dice.randrange(7, 19))),
        "epoch": lambda: str(dice.randrange(1_400_000_000, 1_900_000_000)),
        "hex8": lambda: chars(dice, HEX, 8),
        "hex40": lambda: chars(dice, HEX, 40),
        "hex64": lambda: chars(dice, HEX, 64),
        "base64": lambda: chars(dice, BASE62 + "+/", 60),
        "uuid": lambda: "-".join(chars(dice, HEX, count) for count in (8, 4, 4, 4, 12)),
        "version": lambda: ".".join(str(dice.randrange(30)) for _ in range(dice.choice([2, 3, 3, 4]))),
        "price": lambda: f"{dice.randrange(10000)}.{dice.randrange(100):02}",
        "angle": lambda: f"{dice.uniform(-180, 180):.{dice.randrange(3, 9)}f}",
        "word": lambda: chars(dice, string.ascii_lowercase, dice.randrange(2, 10)),
        "ssn_bad": lambda: dice.choice(
            [
                f"000-{dice.randrange(1, 100):02}-1234",
                f"666-{dice.randrange(1, 100):02}-1234",
                f"9{dice.randrange(100):02}-12-3456",
                f"{dice.randrange(100, 600)}-00-1234",
                f"{dice.randrange(100, 600)}-12-0000",
                "123-45-6789",
                "078-05-1120",
                f"{dice.randrange(100, 600)}-12 3456",
            ]
        ),
    }
    for _ in range(size):
        text = dice.choice(NEGATIVES)
        yield re.sub(r"\{\{(\w+)\}\}", lambda match: makers[match[1]](), text).encode()


def false_hits(scan: ModuleType, size: int, seed: int) -> tuple[Counter[str], int, list[str]]:
    """How many spans of each kind the negative corpus has, how many bytes it is, and the spans."""
    hits: Counter[str] = Counter()
    total, shown = 0, []
    for data in negatives(size, seed):
        total += len(data)
        for start, end, kind in scan.scan_text(data):
            hits[scan.KINDS[kind]] += 1
            shown.append(f"{scan.KINDS[kind]}: {data[max(0, start - 25) : end + 10]!r}")
    return hits, total, shown


def row(name: str, score: Score, target: tuple[float, float]) -> str:
    met = score.recall >= target[0] and score.precision >= target[1]
    figures = f"{score.fields} | {score.recall:.3f} | {target[0]:.2f} | {score.precision:.3f} | {target[1]:.2f}"
    return f"| {name} | {figures} | {'met' if met else '**missed**'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="How much of what it should find the scanner finds.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=6000, help="how many texts")
    parser.add_argument("--show", type=int, default=0, help="how many errors of each kind to print")
    options = parser.parse_args()
    if importlib.util.find_spec("faker") is None:
        sys.exit("faker is not installed: pip install --group test")
    scan = importlib.import_module("edge._fast")
    print("| | fields | recall | target | precision | target | |\n|---|---|---|---|---|---|---|")
    scores = filled(scan, options.size, options.seed)
    for kind, score in scores.items():
        print(row(kind, score, TARGETS[kind]))
    extra = {f"phone, {name}": score for name, score in example_numbers(scan).items()}
    extra["iban, every country"] = ibans(scan, options.seed)
    for name, score in extra.items():
        print(row(name, score, TARGETS[name.partition(",")[0]]))
    hits, total, shown = false_hits(scan, options.size, options.seed)
    rate = hits.total() / total * 10_000
    print(f"\nFalse hits in 10 kB of {total // 1000} kB of negatives: {rate:.3f} (target {FALSE_HITS}), {dict(hits)}")
    for name, score in (scores | extra).items():
        for line in score.missed[: options.show]:
            print(f"missed {name}: {line!r}")
        for line in score.wrong[: options.show]:
            print(f"wrong {name}: {line!r}")
    for line in shown[: options.show * 3]:
        print(f"false {line}")


if __name__ == "__main__":
    main()
