"""`make mutants`: changes the core a little, again and again, and lists each change that no test notices.

Exit code 1 where a survivor is not explained in tests/mutants/explained.toml. `--sample 300 --seed 1` runs as many at
random; `--file rating/money.py` only those of a file. Results are kept in .mutants and used again while a function
stays as it is.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

from tests.mutants.core import CORE
from tests.mutants.workshop import SURVIVED, UNTESTED, Shop, Survivor, timed_out

EXPLAINED = Path(__file__).with_name("explained.toml")
PROSE = "the words of a message; tests look at its code and its numbers"
_TEXT = re.compile(r'"[^"]*"')
Explained = dict[tuple[str, str, str], str]  # (file, what was, what it became) -> why no test can notice


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--file", action="append", choices=CORE, help="only this one; may be repeated")
    parser.add_argument("--sample", type=int, help="as many mutants, drawn from all of the files")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    asked = parser.parse_args()
    shops = {path: Shop(path, CORE[path]) for path in asked.file or CORE}
    drawn = [(path, name) for path, shop in shops.items() for name in shop.names()]
    if asked.sample:
        drawn = random.Random(asked.seed).sample(drawn, min(asked.sample, len(drawn)))
    explained, said = read_explained(), Counter[str]()
    for path, shop in shops.items():
        names = [name for of, name in drawn if of == path]
        shop.run(names, asked.jobs)
        counts, survivors = judged(shop, names)
        said += counts
        print(f"{path}: {counts['killed']} of {counts.total()} killed", flush=True)
        for one in survivors:
            why = PROSE if only_prose(one) else explained.get((one.path, one.was, one.became))
            said["explained" if why else "unexplained"] += 1
            print(f"  {one}\n" + (f"    {why}\n" if why else ""), end="", flush=True)
    of = said["killed"] + said["survived"]
    print(
        f"{said['killed']} of {of} mutants killed ({said['killed'] / max(of, 1):.1%}), {said['survived']} survived: "
        f"{said['explained']} explained, {said['unexplained']} not"
    )
    return 1 if said["unexplained"] else 0


def judged(shop: Shop, names: list[str]) -> tuple[Counter[str], list[Survivor]]:
    """How many were killed and survived, and those that survived."""
    results = shop.results()
    codes = {name: results[name] for name in names if name in results}
    survivors = [name for name, code in codes.items() if code == SURVIVED or code in UNTESTED]
    counts = Counter(killed=len(codes) - len(survivors), survived=len(survivors))
    if any(timed_out(code) for code in codes.values()):
        print(f"  {sum(map(timed_out, codes.values()))} of them by never ending")
    return counts, [shop.survivor(name, codes[name] not in UNTESTED) for name in survivors]


def only_prose(one: Survivor) -> bool:
    """Whether all that changed is what a sentence says: a text with a space in it."""
    was, became = (_TEXT.findall(line) for line in (one.was, one.became))
    if _TEXT.sub("", one.was) != _TEXT.sub("", one.became) or len(was) != len(became):
        return False
    return all(a == b or " " in a for a, b in zip(was, became, strict=True))


def read_explained() -> Explained:
    """The survivors that are no loss: each with its reason."""
    entries = tomllib.loads(EXPLAINED.read_text())["mutant"]
    return {(one["file"], one["was"], one["became"]): one["why"] for one in entries}


if __name__ == "__main__":
    sys.exit(main())
