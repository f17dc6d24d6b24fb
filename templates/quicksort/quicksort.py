"""Quicksort, in place."""

import random


def quicksort(items: list) -> list:
    """Sort a list in place and return it. The random pivot prevents inputs that are always slow."""
    ranges = [(0, len(items) - 1)]
    while ranges:
        low, high = ranges.pop()
        if low >= high:
            continue
        pivot = items[random.randint(low, high)]
        left, right = low, high
        while left <= right:
            while items[left] < pivot:
                left += 1
            while pivot < items[right]:
                right -= 1
            if left <= right:
                items[left], items[right] = items[right], items[left]
                left, right = left + 1, right - 1
        ranges += [(low, right), (left, high)]
    return items


if __name__ == "__main__":
    numbers = [random.randint(0, 99) for _ in range(12)]
    print("before:", numbers)
    print("after: ", quicksort(numbers))
