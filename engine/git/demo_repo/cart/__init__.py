"""A small shopping cart."""

from .discounts import percent_off
from .prices import total

__all__ = ["percent_off", "total"]
