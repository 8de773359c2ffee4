"""The three cards of the demo project. The demo model recognises a card by its title."""

PROVIDER = "demo"
MODEL = "demo-1"
LABEL = "Demo model (scripted)"

CARDS: tuple[tuple[str, str], ...] = (
    (
        "Fix rounding in the cart total",
        "A sticker for 0.29 is charged as 0.28: `cart/prices.py` cuts fractions of a cent off instead of"
        " rounding them. Write a test that shows it, then fix it.",
    ),
    (
        "Validate discounts",
        "`percent_off` accepts 150 % and -10 %. Refuse anything outside 0 to 100 with a ValueError that says"
        " why, test it, and commit the change.",
    ),
    (
        "Document usage in the README",
        "The README does not show how the package is used. Add a usage section, and a test that keeps its"
        " examples true.",
    ),
)
"""(title, description) of each card."""
