import random
import unittest

from quicksort import quicksort


class QuicksortTest(unittest.TestCase):
    def test_nothing_and_one(self) -> None:
        self.assertEqual(quicksort([]), [])
        self.assertEqual(quicksort([1]), [1])

    def test_equal_sorted_and_reversed(self) -> None:
        self.assertEqual(quicksort([2] * 50), [2] * 50)
        self.assertEqual(quicksort(list(range(100))), list(range(100)))
        self.assertEqual(quicksort(list(range(100, 0, -1))), list(range(1, 101)))

    def test_words(self) -> None:
        self.assertEqual(quicksort(["pear", "apple", "fig"]), ["apple", "fig", "pear"])

    def test_many_random_lists(self) -> None:
        for _ in range(200):
            items = [random.randint(-50, 50) for _ in range(random.randint(0, 80))]
            self.assertEqual(quicksort(list(items)), sorted(items))


if __name__ == "__main__":
    unittest.main()
