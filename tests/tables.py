"""What stands in a table of `kvbook.show`."""

import re


def cells(page):
    """The texts of a table, row by row, without the places where they may break, and without the marks
    of what others say; the first are the names of its columns."""
    text = re.sub('<wbr>|<span class="kv-said">(.*?)</span>', r"\1", page.data)
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
