"""What stands in the script of a picture to move through."""

import json


def words_of(page):
    """What the script of a page says."""
    return _read(page, "WORDS = ")


def data_of(page):
    """What the script of a page is given."""
    return _read(page, "DATA = ")


def _read(page, mark):
    found, _ = json.JSONDecoder().raw_decode(page.data.partition(mark)[2])
    return found
