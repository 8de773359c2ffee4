"""What keeps OpenLinear from starting, said in one line."""


class StartError(Exception):
    """Its text is one line: what is wrong or missing, and the cure. It never holds a secret."""
