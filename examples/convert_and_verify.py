"""Convert a model and compare the result with its source: convert_and_verify.py SRC DST."""

import sys

import bridge


def main(src: str, dst: str) -> bridge.Conversion:
    conversion = bridge.convert(src, dst, verify=True)
    print(conversion)
    return conversion


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except bridge.BridgeError as error:
        sys.exit(f"{type(error).__name__}: {error}")
