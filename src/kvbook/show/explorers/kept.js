(() => {
  const plot = document.getElementById(NAME).querySelector(".kv-plot");
  Plotly.newPlot(plot, DATA.data, DATA.layout, {responsive: true, displaylogo: false});
})();
