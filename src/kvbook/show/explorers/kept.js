(() => {
  const plot = document.getElementById(NAME).querySelector(".kv-plot");
  const {data: [map], layout} = DATA, [prefix, suffix] = WORDS.layer.split("{layer}");
  map.y = map.y.map(head => fill(WORDS.head, {head}));
  layout.xaxis.title = {text: WORDS.position};
  layout.sliders[0].currentvalue = {prefix, suffix};
  draw(plot, [map], layout);
})();
