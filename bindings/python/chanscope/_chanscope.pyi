"""The extension module: what the package calls, not for users."""

__version__: str

def command(arguments: list[str]) -> int: ...
