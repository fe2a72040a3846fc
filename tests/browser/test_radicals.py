"""Chinese that this machine's Chromium prints can be searched for and copied."""

import io
import re

import pytest
from pypdf import PdfReader

from kvbook.chapters.fonts import find_chinese_font
from kvbook.chapters.printing import print_page
from kvbook.chapters.radicals import character

COMMON = "一二人入八力十大小口土士女子山工己巾干弓心手支文斗方日月木欠止毛水火父牙牛玄玉瓜用田白皮目矢石示穴立竹米羊羽老而耳自至舌舟色血行衣言足身走里金面音首香高"
SIMPLIFIED = "见角贝车长门页风飞马鱼鸟麦黄齿龙龟民青食西母户"
PAGE = """<!DOCTYPE html><html lang="zh-CN"><meta charset="utf-8"><title>字</title>
<script>window.MathJax = {{startup: {{promise: Promise.resolve()}}}}</script>
<body style="font-family: {font}"><p>{text}</p></body></html>"""
FACTS = {"language": "zh-CN", "title": "字", "author": "我们", "keywords": []}


@pytest.mark.skipif(not find_chinese_font(), reason="no Chinese font here")
@pytest.mark.parametrize("font", ["sans-serif", "serif"])
def test_every_character_is_itself_in_a_printed_page(font, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(font=font, text=COMMON + SIMPLIFIED), encoding="utf-8")
    [printed] = PdfReader(io.BytesIO(print_page(page, FACTS))).pages
    assert re.sub(r"\s", "", printed.extract_text()) == COMMON + SIMPLIFIED


def test_the_characters_are_those_of_radicals():
    """Each is drawn like one: a font may have a glyph for both."""
    radicals = {character(chr(one)) for one in range(0x2E80, 0x2FE0)}
    assert set(COMMON + SIMPLIFIED) <= radicals
