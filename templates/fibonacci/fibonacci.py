"""Calculate Fibonacci numbers: python fibonacci.py [COUNT]"""

import sys
from collections.abc import Iterator
from itertools import islice


def fibonacci() -> Iterator[int]:
    """Yield all Fibonacci numbers: 0, 1, 1, 2, 3, 5, ..."""
    current, following = 0, 1
    while True:
        yield current
        current, following = following, current + following


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for number, value in enumerate(islice(fibonacci(), count)):
        print(f"F({number}) = {value}")


if __name__ == "__main__":
    main()
