"""What a basket costs."""


def total(items: list[tuple[str, float, int]]) -> float:
    """Return the price of all items together, in whole cents.

    Each item is (name, price of one, quantity).
    """
    cents = 0
    for _name, price, quantity in items:
        cents += int(price * quantity * 100)
    return cents / 100
