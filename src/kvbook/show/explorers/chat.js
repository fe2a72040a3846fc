(() => {
  const page = document.getElementById(NAME), find = part => page.querySelector(".kv-" + part);
  const slider = find("slider");
  const update = () => {
    const turn = DATA.turns[slider.value];
    find("label").textContent = slider.value;
    for (const part of ["user", "assistant", "sinks", "summary", "recent"])
      find("part-" + part).textContent = turn[part] || WORDS.nothing;
    find("count").textContent = fill(WORDS.count, turn);
  };
  slider.addEventListener("input", update);
  slider.value = 0;
  update();
})();
