import unittest

from cart.discounts import percent_off


class PercentOffTest(unittest.TestCase):
    def test_a_quarter_off(self) -> None:
        self.assertEqual(percent_off(80.00, 25), 60.00)

    def test_nothing_off(self) -> None:
        self.assertEqual(percent_off(19.99, 0), 19.99)


if __name__ == "__main__":
    unittest.main()
