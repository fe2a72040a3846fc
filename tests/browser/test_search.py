"""Search, from disk: no server, nothing to fetch."""

import pytest
from browser.book import CONTENT


@pytest.mark.parametrize(
    "word, page",
    [("sinks", "streamingllm"), ("端侧", "index"), ("端侧部署", "index"), ("推理", "index")],
)
def test_a_word_is_found(open_page, word, page):
    opened = open_page("search")
    box = opened.page.locator("article input[name=q], main input[name=q]").first
    box.fill(word)
    box.press("Enter")
    opened.page.wait_for_selector(f"#search-results a[href*='{page}.html']")
    assert not opened.troubles


def test_the_box_of_every_page_leads_to_the_results(open_page):
    opened = open_page(CONTENT[-1])
    opened.page.keyboard.press("Control+k")
    opened.page.keyboard.type("budget")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("#search-results li a")
    assert "search.html?q=budget" in opened.page.url and not opened.troubles


def test_what_is_not_there_is_not_found(open_page):
    page = open_page("search", "?q=zyzzyva").page
    page.wait_for_function(
        "document.querySelector('#search-results p')?.innerText.includes('did not match')"
    )
    assert not page.locator("#search-results li").count()
