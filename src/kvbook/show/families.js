(() => {
  const page = document.getElementById(NAME);
  const [plot, slider, label, select, words] =
    ["plot", "slider", "label", "select", "words"].map(part => page.querySelector(".kv-" + part));
  const cells = (method, budget) => DATA.kept[method][budget].map(row => [...row].map(Number));
  const panels = DATA.panels;
  const traces = panels.map(([method, column, row], i) => ({
    type: "heatmap", z: cells(method, 0), text: DATA.kept[method][0].map(() => DATA.tokens),
    hovertemplate: "%{text}<br>layer %{y}: %{z} of " + DATA.heads + " heads<extra>" + method + "</extra>",
    colorscale: DATA.scale, zmin: 0, zmax: DATA.heads, showscale: false,
    xaxis: "x" + (i + 1), yaxis: "y" + (i + 1)}));
  const layout = Object.assign({}, DATA.layout);
  panels.forEach(([method, column, row], i) => {
    const x = [column * 0.53, column * 0.53 + 0.47];
    const y = [1 - (row + 1) / DATA.rows + 0.06, 1 - row / DATA.rows - 0.06];
    layout["xaxis" + (i + 1)] = {domain: x, anchor: "y" + (i + 1), showgrid: false, zeroline: false};
    layout["yaxis" + (i + 1)] = {domain: y, anchor: "x" + (i + 1), autorange: "reversed", showgrid: false, zeroline: false};
    layout.annotations.push({text: method, x: x[0], y: y[1], xref: "paper", yref: "paper",
      xanchor: "left", yanchor: "bottom", showarrow: false});
  });
  Plotly.newPlot(plot, traces, layout, {responsive: true, displaylogo: false});
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
      spans[i].title = "position " + i + ", kept by " + Math.round(100 * kept) + " % of the heads";
    }
  };
  const update = () => {
    label.textContent = DATA.budgets[slider.value];
    Plotly.restyle(plot, {z: panels.map(([method]) => cells(method, slider.value))});
    shade();
  };
  slider.addEventListener("input", update);
  select.addEventListener("change", shade);
  slider.value = DATA.start;
  update();
})();
