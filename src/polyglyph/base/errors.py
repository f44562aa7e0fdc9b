"""Every error a user can cause, and nothing else.

PolyglyphError
├── ConfigError      a setting is out of range or two settings disagree
├── DataError        a file or folder is missing, empty, or not what its name says
├── FormatError      a checkpoint, picture or mesh file breaks its own format
└── BackendError     the asked-for device or kernel is not on this machine

Anything outside this tree is our own bug and shows its traceback.
"""

__all__ = ["BackendError", "ConfigError", "DataError", "FormatError", "PolyglyphError"]


class PolyglyphError(Exception):
    """A message, and one line (`fix`) saying what to do about it.

    Messages are lower case, put names in backticks and end without a period.
    """

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class ConfigError(PolyglyphError):
    """A setting is out of range, unknown, or disagrees with another."""


class DataError(PolyglyphError):
    """A file or folder is missing, empty, or not what its name says."""


class FormatError(PolyglyphError):
    """A checkpoint, picture or mesh file breaks its own format."""


class BackendError(PolyglyphError):
    """The asked-for device, kernel or program is not on this machine."""
