"""What stands in a table of `kvbook.show`."""

import re


def cells(page):
    """The texts of a table, row by row, without the places where they may break; the first are the names
    of its columns."""
    rows = re.findall(r"<tr>(.*?)</tr>", page.data.replace("<wbr>", ""))
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
