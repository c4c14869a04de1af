"""The exceptions of the package.

All are subclasses of :class:`Error`, and each is also the built-in exception that one would expect.
"""

from __future__ import annotations


class Error(Exception):
    """Anything that chanscope refuses or that goes wrong in it."""


class UsageError(Error, ValueError):
    """An argument is out of its range, of a wrong kind or shape, or contradicts another one."""


class DataError(Error, ValueError):
    """A file, an array or a network holds something that cannot be measured, such as NaN."""


class FileError(Error, OSError):
    """A file or folder cannot be read or written."""


class OutOfMemoryError(Error, MemoryError):
    """The memory cap is too small, or the device has no room left."""


class DeviceError(Error, RuntimeError):
    """There is no such device, or it failed."""


class InternalError(Error, RuntimeError):
    """A defect of chanscope."""


for _class in (Error, UsageError, DataError, FileError, OutOfMemoryError, DeviceError, InternalError):
    _class.__module__ = "chanscope"
