"""What the demo says when it cannot go on."""


class DemoError(Exception):
    """A mistake to be told in one sentence, without a traceback."""
