"""What a wheel carries from outside src/: the notebooks, their data, and the style of a page."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BOOK = ("notebooks/*.ipynb", "data/**/[!.]*", "book/_static/custom.css")


def book_files() -> list[Path]:
    """The files of the book that a chapter needs."""
    return [path for pattern in BOOK for path in Path().glob(pattern) if path.is_file()]


class BuildWithBook(build_py):
    """Copies them to kvbook/_book; an editable install reads them where they are."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        home = Path(self.build_lib, "kvbook", "_book")
        for path in book_files():
            self.mkpath(str(home / path.parent))
            self.copy_file(str(path), str(home / path))

    def get_source_files(self):
        """For a source distribution, too."""
        return [*super().get_source_files(), *map(str, book_files())]


setup(cmdclass={"build_py": BuildWithBook})
