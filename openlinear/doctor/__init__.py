"""`openlinear doctor`: what is wrong with this installation, and the cure. It changes nothing.

A check is a small function of a module per area; `examine` runs them all at once, each for a few
seconds at most. They work whether OpenLinear runs or not.
"""

from openlinear.doctor.finding import Finding
from openlinear.doctor.report import as_json, as_text, examine

__all__ = ["Finding", "as_json", "as_text", "examine"]
