"""List what a conversion would do to each operator: read_report.py SRC FORMAT."""

import sys

import bridge


def main(src: str, to: str) -> dict[str, int]:
    report = bridge.check(src, to=to)
    for blocker in report.blockers:
        print(f"{blocker.op} {blocker.name} is refused: {blocker.reason}")
    for crossing in report.crossings:
        print(f"{crossing.op}: {crossing.outcome}")
    return report.counts()


if __name__ == "__main__":
    print(main(*sys.argv[1:3]))
