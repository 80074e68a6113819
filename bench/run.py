"""`make bench`: the figures that this machine gives, as ratios between runs side by side."""

import argparse
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import document
from bench.deployed import ROOT
from bench.machine import facts
from bench.progress import say
from bench.row import Row

# Each has `rows(*, quick)`. It is loaded when it is chosen: some need what others do without.
PARTS = {
    "accept": "bench.accepting",
    "deliver": "bench.delivering",
    "lateness": "bench.lateness",
    "growth": "bench.growth",
    "pace": "bench.pacing",
    "hanging": "bench.hanging",
    "cost": "bench.cost",
    "peers": "bench.peers",
    "demo": "bench.first_look",
    "snippet": "bench.snippet",
    "batches": "bench.batches",
    "audit": "bench.audit",
    "dashboard": "bench.dashboard",
    "scaling": "bench.scaling",
}


def main() -> int:
    """Print the table; 1 if a part could not be measured."""
    options = _options()
    parts = options.parts or list(PARTS)
    told, failed = facts(), []
    print(told, flush=True)
    for part in parts:
        begun = time.monotonic()
        try:
            found = _printed(part, quick=options.quick)
        except Exception:  # noqa: BLE001  # the parts that are left take long: they go on
            traceback.print_exc()
            failed.append(part)
            continue
        say(f"{part}: took {time.monotonic() - begun:.0f} s")
        if options.write:
            document.write(part, found, told, ROOT / "docs")
    if failed:
        say(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


def _printed(part: str, *, quick: bool) -> list[Row]:
    """Print each row of *part* as soon as it is known; return them all."""
    found = []
    print(f"\n{part}", flush=True)
    for row in import_module(PARTS[part]).rows(quick=quick):
        line = f"  {row.what:<44}  {row.figure:<34}  {row.reach:<14}  {row.verdict}"
        print(line.rstrip(), flush=True)
        found.append(row)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="little of each, for a look")
    parser.add_argument(
        "--write", action="store_true", help="write docs/performance.md and its pictures"
    )
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    if options.quick and options.write:
        parser.error("a quick look is not written down")
    return options


if __name__ == "__main__":
    sys.exit(main())
