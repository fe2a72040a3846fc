"""What a reader can move: it moves, and shows the numbers that it should."""

import pytest


def drawn(plot) -> list[str]:
    """The pictures plotly made of its heat maps."""
    return plot.locator("image").evaluate_all("all => all.map(one => one.getAttribute('href'))")


def kept(plot, title: str) -> list[int]:
    """Entries per layer in the panel of one method, all KV heads together."""
    return plot.evaluate(
        """(plot, title) => plot.data.find(one => one.hovertemplate.includes(`<extra>${title}</extra>`))
            .z.map(row => [...row].reduce((a, b) => a + b))""",
        title,
    )


def test_the_families_show_as_many_entries_as_the_budget_says(open_page):
    opened = open_page("families")
    figure = opened.page.locator(".kv-explorer")
    plot, slider, label = (figure.locator(f".kv-{part}") for part in ("plot", "slider", "label"))
    seen = []
    for key in ("Home", "End"):
        slider.press(key)
        budget = int(label.inner_text())
        per_layer = kept(plot, "snapkv")
        heads = opened.page.evaluate("document.querySelector('.kv-plot').data[0].zmax")
        assert per_layer == [budget * heads] * len(per_layer)
        seen.append((budget, drawn(plot)))
    assert seen[0][0] < seen[1][0]
    changed = [before != after for before, after in zip(seen[0][1], seen[1][1], strict=True)]
    assert sum(changed) >= 4, "PyramidInfer's may stay at small budgets"
    assert not opened.troubles


def test_the_families_shade_the_text_of_the_chosen_method(open_page):
    figure = open_page("families").page.locator(".kv-explorer")
    figure.locator(".kv-slider").press("Home")

    def bright(method: str) -> list[int]:
        figure.locator(".kv-select").select_option(method)
        return figure.locator(".kv-words span").evaluate_all(
            "all => all.flatMap((one, i) => one.className == 'kv-dropped' ? [] : [i])"
        )

    streaming, snap = bright("streamingllm"), bright("snapkv")
    budget = int(figure.locator(".kv-label").inner_text())
    assert len(streaming) == budget and streaming[:2] == [0, 1] and snap != streaming
    titles = figure.locator(".kv-words span").evaluate_all("all => all.map(one => one.title)")
    assert "kept by 0 %" not in titles[snap[0]]


def calculated(page) -> dict[str, list[str]]:
    """The calculator's rows by method, without their first cell."""
    rows = page.locator("#calculator .kv-rows tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {method: cells for method, *cells in rows}


def number(text: str) -> float:
    """Bytes in MiB, or seconds."""
    amount, unit = text.split()[:2]
    return float(amount) * {"MiB": 1, "GiB": 1024, "ms": 0.001, "s": 1}[unit]


def test_the_calculator_grows_full_kv_with_the_context(open_page):
    opened = open_page("profiling")
    slider, label = (
        opened.page.locator(f"#calculator .kv-{part}") for part in ("context", "context-label")
    )
    seen = []
    for key in ("Home", "End"):
        slider.press(key)
        tokens = int(label.inner_text().split()[0].replace(",", ""))
        seen.append((tokens, number(calculated(opened.page)["fullkv"][0])))
    (few, small), (many, large) = seen
    assert large / small == pytest.approx(many / few, rel=0.01)
    assert not opened.troubles


def test_the_calculator_shrinks_with_the_budget_only_what_has_one(open_page):
    page = open_page("profiling").page
    seen = []
    for key in ("Home", "End"):
        page.locator("#calculator .kv-budget").press(key)
        seen.append(calculated(page))
    assert number(seen[0]["snapkv"][0]) < number(seen[1]["snapkv"][0])
    assert seen[0]["fullkv"] == seen[1]["fullkv"]


def test_the_calculator_adds_a_step_for_every_token_of_the_answer(open_page):
    page = open_page("profiling").page
    page.locator("#calculator .kv-answer").press("End")
    length = int(page.locator("#calculator .kv-answer-label").inner_text().split()[0])
    *_, prefill, step, total = map(number, calculated(page)["fullkv"])
    assert total == pytest.approx(prefill + step * (length - 1), rel=0.06)  # two digits are shown


def test_the_calculator_changes_bytes_with_the_model_and_seconds_with_the_machine(open_page):
    page = open_page("profiling").page
    first = calculated(page)["fullkv"]
    for part, same, other in (("machine", 0, 2), ("model", None, 0)):
        choice = page.locator(f"#calculator select.kv-{part}")
        values = choice.locator("option").evaluate_all("all => all.map(one => one.value)")
        choice.select_option(next(value for value in values if value != choice.input_value()))
        then = calculated(page)["fullkv"]
        assert then[other] != first[other] and (same is None or then[same] == first[same])
        first = then


def test_the_calculator_has_a_dash_for_the_prefill_of_a_phone(open_page):
    opened = open_page("profiling")
    choice = opened.page.locator("#calculator select.kv-machine")
    choice.select_option(label="OnePlus 12 (Snapdragon 8 Gen 3)")
    *_, prefill, step, total = calculated(opened.page)["fullkv"]
    assert prefill == total == "–" and number(step) > 0
    assert not opened.troubles


def test_the_layers_of_a_kept_map_can_be_walked_through(open_page):
    opened = open_page("snapkv")
    plot = opened.page.locator(".js-plotly-plot").first
    before, label = drawn(plot), plot.locator(".slider-label").first
    assert label.text_content() == "layer 0"
    rail = plot.locator(".slider-rail-touch-rect")
    rail.scroll_into_view_if_needed()
    box = rail.bounding_box()
    opened.page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    last = plot.evaluate("plot => plot.layout.sliders[0].steps.length") - 1
    assert plot.locator(".slider-label").first.text_content() == f"layer {last}"
    assert plot.evaluate(
        "plot => JSON.stringify(plot.data[0].z) == JSON.stringify(plot.layout.sliders[0].steps.at(-1).args[0].z[0])"
    )
    assert drawn(plot) != before and not opened.troubles


def test_a_conversation_can_be_walked_through_from_its_first_turn(open_page):
    page = open_page("summarykv").page
    figure = page.locator(".kv-explorer:has(.kv-part-summary)")
    before, label = figure.inner_text(), figure.locator(".kv-label")
    assert label.inner_text() == "0"
    figure.locator(".kv-slider").press("End")
    assert int(label.inner_text()) > 0 and figure.inner_text() != before
    assert figure.locator(".kv-part-user").inner_text().strip()
