"""Radicals in a PDF's table of glyphs become the characters that they look like."""

import pytest

from kvbook.chapters.radicals import character, without_radicals

TABLE = b"2 beginbfchar\n<0033> <%s>\n<2F42> <0041>\nendbfchar"


@pytest.mark.parametrize("radical, meant", ["⼀一", "⽂文", "⽤用", "⻓长", "⺠民", "⺟母", "⼾户"])
def test_a_radical_is_written_down_as_its_character(radical, meant):
    one, other = (f"{ord(each):04X}".encode() for each in (radical, meant))
    assert without_radicals(TABLE.replace(b"%s", one)) == TABLE.replace(b"%s", other)


def test_glyphs_in_a_row_get_a_character_each():
    table = b"<0007> <0009> <2ED2>\n<000A> <000B> <4E00>"
    assert without_radicals(table) == b"<0007> <0009> [<9578> <957F> <95E8>]\n<000A> <000B> <4E00>"


def test_every_radical_of_the_first_table_has_its_character():
    assert all("\u4e00" <= character(chr(one)) < "\ua000" for one in range(0x2F00, 0x2FD6))
