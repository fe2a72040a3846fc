(() => {
  const picture = document.getElementById(NAME).querySelector(".kv-stepper");
  const find = part => picture.querySelector(".kv-" + part);
  const [play, slider, now] = ["play", "slide", "now"].map(find);
  const last = DATA.steps - 1, cut = DATA.tokens.length;
  let step = last, timer = null;
  const rows = DATA.rows.map((row, i) => {
    const line = picture.querySelectorAll(".kv-cells")[i];
    const head = line.previousElementSibling;
    return {...row, cells: line.querySelectorAll("i"), back: line.querySelector(".kv-back"),
            holds: head.querySelector(".kv-holds"), said: head.querySelector(".kv-said"),
            end: head.querySelector(".kv-verdict")};
  });
  const latest = (row, name) => {  // what stands since the last step that changed it
    for (let at = step; at >= 0; at--) if (row[name][at] != null) return row[name][at];
    return null;
  };
  const draw = row => {
    const heights = latest(row, "heights") || [];
    let held = 0;
    row.cells.forEach((cell, i) => {
      const here = row.came[i] <= step, gone = row.gone[i] != null && row.gone[i] <= step;
      cell.className = !here ? "" : !gone ? "kv-on" : row.gone[i] == step ? "kv-out" : "kv-gone";
      cell.style.setProperty("--h", (row.scored ? heights[i] ?? 0 : gone ? 0 : 100) / 100);
      held += here && !gone;
    });
    const summary = latest(row, "summaries");
    row.back.hidden = !summary;
    if (summary) {
      let from = row.sinks;  // behind the sinks, and before the first entry that is left
      while (row.gone[from] != null && row.gone[from] <= step) from++;
      row.back.style.gridColumn = row.sinks + 1 + " / " + (from + 1);
      row.back.textContent = summary;
    }
    const said = row.written.slice(0, Math.max(0, step - cut)).join("").trim();
    row.holds.textContent = fill(summary ? WORDS.holds_summary : WORDS.holds, {count: held});
    row.said.textContent = step <= cut ? "" : "“" + said + "”";
    row.end.textContent = step <= cut ? "" : step < last ? " …" : row.verdict && " " + WORDS[row.verdict];
  };
  const happens = () => step == last ? WORDS.done : step == cut ? WORDS.cut
    : step > cut ? fill(WORDS.written, {number: step - cut})
    : fill(WORDS.read, {number: step + 1, all: cut, token: DATA.tokens[step].trim() || WORDS.space});
  const go = to => {
    step = Math.min(last, Math.max(0, to));
    slider.value = step;
    now.textContent = happens();
    rows.forEach(draw);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶";
    play.setAttribute("aria-label", WORDS.play);
  };
  const start = () => {
    if (step == last) go(0);
    play.textContent = "❚❚";
    play.setAttribute("aria-label", WORDS.pause);
    timer = setInterval(() => { go(step + 1); if (step == last) stop(); }, 600);
  };
  const toggle = () => timer ? stop() : start();
  const by = count => { stop(); go(step + count); };
  play.addEventListener("click", toggle);
  find("prior").addEventListener("click", () => by(-1));
  find("next").addEventListener("click", () => by(1));
  find("first").addEventListener("click", () => by(-last));
  slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
  const keys = {ArrowRight: () => by(1), ArrowLeft: () => by(-1), Home: () => by(-last), End: () => by(last), " ": toggle};
  picture.addEventListener("keydown", event => {
    const own = event.target.tagName == "BUTTON" ? [" "] : [];  // a button answers to space by itself
    if (!keys[event.key] || own.includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    const end = {ArrowRight: last, ArrowLeft: 0}[event.key];
    if (step === end && picture.closest(".reveal")) return document.activeElement.blur();  // on to the next slide
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  let down = null;  // a finger that goes left or right over the cells steps
  picture.addEventListener("pointerdown", event => { down = event.target.closest(".kv-line") && event.clientX; });
  picture.addEventListener("pointerup", event => {
    const moved = down == null ? 0 : event.clientX - down;
    down = null;
    if (Math.abs(moved) > 30) by(moved < 0 ? 1 : -1);
  });
  const paper = () => { stop(); go(last); };
  addEventListener("beforeprint", paper);
  matchMedia("print").addEventListener("change", event => { if (event.matches) paper(); });
  find("steps").hidden = false;
  go(last);
})();
