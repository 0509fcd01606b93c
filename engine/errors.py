"""Errors that a person can act on: each message names what is wrong and what to do."""


class RemaskError(Exception):
    """Base of every error Remask raises on purpose; its text is fit to be shown."""


class BadRequestError(RemaskError):
    """The request cannot be answered as it stands (unknown language, position outside the file, wrong type)."""


class ModelError(RemaskError):
    """The model is missing, damaged or of a shape this engine cannot run."""


class CancelledError(RemaskError):
    """The request was cancelled between two denoising steps."""


class EngineUnavailableError(RemaskError):
    """The engine process cannot be reached or started."""
