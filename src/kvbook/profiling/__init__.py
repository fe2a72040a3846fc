"""What a method costs: measured on this machine, and predicted on paper for any other.

>>> from kvbook.profiling import measure, predict
"""

from importlib import import_module

_HOMES = {
    "Measurement": "timing",
    "measure": "timing",
    "measure_all": "timing",
    "Prediction": "prediction",
    "predict": "prediction",
    "Hardware": "hardware",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    """Import torch only when it is needed, as `kvbook` does."""
    if name in _HOMES:
        return getattr(import_module(f"kvbook.profiling.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kvbook.profiling' has no attribute {name!r}")
