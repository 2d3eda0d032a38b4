"""What this package raises when its input, not its code, is wrong."""


class SDTError(Exception):
    """Features, files or settings do not fit; the message is one sentence with the remedy."""
