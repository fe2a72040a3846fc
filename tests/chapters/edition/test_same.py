"""What a translation must have in common with its English text."""

import pytest

from kvbook.chapters.edition.same import differences, stray

ENGLISH = """(here)=
## Heading
<span class="kv-key">Red</span>. See [the page](page.md) and {cite:p}`key2024`, with $a$ and `code`.

$$
x = y
$$ (label)

| a | b |
|---|---|
| 1 | **two** |

1. First.

```{admonition} Objectives
:class: tip
Words.
```

```python
x = 1  # code
```
"""
CHINESE = """(here)=
## 标题
<span class="kv-key">红色</span>。见[此页](page.md)和 {cite:p}`key2024`，有 $a$ 和 `code`。

$$
x = y
$$ (label)

| 甲 | 乙 |
|---|---|
| 1 | **二** |

1. 第一。

```{admonition} 目标
:class: tip
文字。
```

```python
x = 1  # code
```
"""


def test_a_translation_of_all_has_no_differences():
    assert differences(ENGLISH, CHINESE) == []


@pytest.mark.parametrize(
    "right, wrong, told",
    [
        ("(here)=", "(there)=", "label 'there' only in Chinese"),
        ("kv-key", "kv-value", "class 'kv-value' only in Chinese"),
        ("## 标题", "### 标题", "heading '###' only in Chinese"),
        ("page.md", "other.md", "link 'page.md' only in English"),
        ("key2024", "key2025", "role '{cite:p}`key2025`' only in Chinese"),
        ("$a$", "$b$", "inline formula 'b' only in Chinese"),
        ("`code`", "code", "literal 'code' only in English"),
        ("x = y", "x = z", "formula 'x = y (label)' only in English"),
        ("| 1 |", "| 2 |", "number '2' only in Chinese"),
        ("| 1 | **二** |\n", "", "columns of a row '3' (1 more) only in English"),
        ("**二**", "二", "bold '**' only in English"),
        ("1. 第一。", "第一。", "item '1.' only in English"),
        (":class: tip", ":class: note", "option ':class: note' only in Chinese"),
        ("{admonition}", "{note}", "directive '{note}' only in Chinese"),
        ("x = 1  # code", "x = 1  # 代码", "code 'python\\nx = 1  # code' only in English"),
    ],
)
def test_what_differs_is_named(right, wrong, told):
    assert right in CHINESE
    assert told in differences(ENGLISH, CHINESE.replace(right, wrong))


@pytest.mark.parametrize(
    "text",
    ["窗口,和预算", "窗口; 预算", "KV缓存", "缓存 KV和预算", "一个KV 缓存", "共8 个", "第 3章"],
)
def test_half_width_punctuation_and_a_missing_blank_are_found(text):
    assert list(stray(text))


def test_full_width_punctuation_and_blanks_are_not_found():
    assert not list(
        stray("KV 缓存，和预算 (`a, b`)，$a, b$；见 {eq}`窗口a`，3 次。\n```\n# 窗口,\n```")
    )
