"""What is taken off a price."""


def percent_off(price: float, percent: float) -> float:
    """Return the price with so many percent taken off, in whole cents."""
    return round(price * (100 - percent) / 100, 2)
