(() => {
  const page = document.getElementById(NAME);
  const [plot, slider, label, select, words] =
    ["plot", "slider", "label", "select", "words"].map(part => page.querySelector(".kv-" + part));
  const cells = (method, budget) => DATA.kept[method][budget].map(row => [...row].map(Number));
  const {data, layout} = DATA.figure;
  const counted = fill(WORDS.layer, {layer: "%{y}", kept: "%{z}", heads: DATA.heads});
  DATA.methods.forEach((method, i) => {
    data[i].z = cells(method, 0);
    data[i].text = DATA.kept[method][0].map(() => DATA.tokens);
    data[i].hovertemplate = "%{text}<br>" + counted + "<extra>" + method + "</extra>";
  });
  draw(plot, data, layout);
  words.replaceChildren(...DATA.text.map((token, i) => {
    const span = document.createElement("span");
    span.textContent = token;
    return span;
  }));
  const shade = () => {
    const rows = DATA.kept[select.value][slider.value], spans = words.children;
    for (let i = 0; i < spans.length; i++) {
      const kept = rows.reduce((sum, row) => sum + Number(row[i]), 0) / (rows.length * DATA.heads);
      spans[i].style.background = "rgba(0,114,178," + (0.65 * kept).toFixed(2) + ")";
      spans[i].className = kept ? "" : "kv-dropped";
      spans[i].title = fill(WORDS.kept_by, {position: i, share: Math.round(100 * kept)});
    }
  };
  const update = () => {
    label.textContent = DATA.budgets[slider.value];
    Plotly.restyle(plot, {z: DATA.methods.map(method => cells(method, slider.value))});
    shade();
  };
  slider.addEventListener("input", update);
  select.addEventListener("change", shade);
  slider.value = DATA.start;
  update();
})();
