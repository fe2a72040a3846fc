"""What a method costs: measured on this machine, and predicted on paper for any other.

>>> from kvbook.profiling import measure, predict
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "timing": ["Measurement", "measure", "measure_all"],
        "prediction": ["Prediction", "predict"],
        "hardware": ["Hardware"],
    },
)
