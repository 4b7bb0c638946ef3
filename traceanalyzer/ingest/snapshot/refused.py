"""Why a file is no snapshot that can be read."""


class Refused(Exception):
    """The content is not a snapshot, or asks for something that no snapshot needs; the text says what."""
