(() => {
  const plot = document.getElementById(NAME).querySelector(".kv-plot");
  draw(plot, DATA.data, DATA.layout);
})();
