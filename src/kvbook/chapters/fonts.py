"""A font of this machine that has Chinese characters: pictures and PDFs need one."""

from pathlib import Path

NAMES = (
    "cjk", "sourcehan", "wqy", "simhei", "simsun", "pingfang", "msyh", "songti", "heiti",
)  # fmt: skip
"""What such fonts have in the names of their files."""


def find_chinese_font() -> str:
    """The first of this machine's Chinese fonts, in the order of the alphabet; empty where there is none."""
    from matplotlib import font_manager

    names = sorted(Path(path).stem for path in font_manager.findSystemFonts())  # as they are now
    return next((name for name in names if any(one in name.lower() for one in NAMES)), "")
