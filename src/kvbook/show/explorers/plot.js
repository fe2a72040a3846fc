const draw = (plot, data, layout) => {  // in the page's ink; a finger that moves over it scrolls the page
  const touch = matchMedia("(pointer: coarse)").matches, ink = () => getComputedStyle(plot).color;
  const look = {...layout, font: {...layout.font, color: ink()}, dragmode: touch ? false : "zoom"};
  Plotly.newPlot(plot, data, look, {responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover"});
  new MutationObserver(() => Plotly.relayout(plot, {"font.color": ink()}))
    .observe(document.documentElement, {attributeFilter: ["data-theme"]});
};
