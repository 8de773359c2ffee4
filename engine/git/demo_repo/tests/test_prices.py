import unittest

from cart.prices import total


class TotalTest(unittest.TestCase):
    def test_an_empty_basket_costs_nothing(self) -> None:
        self.assertEqual(total([]), 0)

    def test_quantities_count(self) -> None:
        self.assertEqual(total([("tea", 4.50, 2), ("cup", 7.25, 1)]), 16.25)


if __name__ == "__main__":
    unittest.main()
