"""The book's tables and pictures. Functions here only draw; they compute nothing about a method.

>>> from kvbook import show
>>> show.style()
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "style": ["COLOURS", "INK", "KEPT", "MARKERS", "style"],
        "tables": ["TAGS", "linked", "rate_table", "table", "tag", "texts_table"],
        "text": ["kept_text", "label_text", "source"],
        "maps": ["journey", "kept_map", "needle_maps", "ratio_maps"],
        "curves": [
            "cost_panels",
            "fidelity_curves",
            "found_by_budget",
            "rates",
            "score_panels",
            "time_bars",
        ],
        "profile": [
            "bench_parts",
            "broken_promises",
            "first_and_second_run",
            "machine",
            "measured_and_paper",
            "measured_over_paper",
            "parts_on_paper",
            "promises",
            "seconds_by_part",
            "shares_of_full",
            "speed_by_part",
        ],
        "reported": [
            "full_memory",
            "memory_lines",
            "model_sizes",
            "reported_costs",
            "reported_decode",
            "roofline_seconds",
            "with_and_without_matrix",
        ],
        "explorers.frame": ["PLOTLY"],
        "explorers.kept": ["kept_by", "kept_explorer"],
        "explorers.families": ["families_explorer"],
        "explorers.chat": ["chat_explorer"],
        "explorers.calculator": ["calculator"],
    },
)
