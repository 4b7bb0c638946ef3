"""Why a file is no snapshot that can be read."""


class Refused(Exception):
    """The content is not a snapshot, or asks for something that no snapshot needs; the text says what."""


REFUSED = 3
"""The worker's exit code when it refused the file; the reason is on its stdout."""
