(() => {
  const page = document.getElementById(NAME), find = part => page.querySelector(".kv-" + part);
  const [model, machine, context, budget, answer] =
    ["model", "machine", "context", "budget", "answer"].map(find);
  const options = (select, names) => select.replaceChildren(
    ...names.map((name, i) => new Option(name, i)));
  options(model, DATA.models);
  options(machine, WORDS.machines);
  const whole = x => x.toLocaleString("en");
  const bytes = x => x < 2**30 ? (x / 2**20).toPrecision(3) + " MiB" : (x / 2**30).toPrecision(3) + " GiB";
  const seconds = x => x === null ? "–" : x < 0.1 ? (1000 * x).toPrecision(2) + " ms" : x.toPrecision(3) + " s";
  const update = () => {
    const tokens = DATA.contexts[context.value], share = DATA.budgets[budget.value];
    find("context-label").textContent = fill(WORDS.tokens, {count: whole(tokens)});
    find("budget-label").textContent =
      fill(WORDS.budget, {share: Math.round(100 * share), entries: whole(Math.round(share * tokens))});
    const length = 2 ** answer.value;
    find("answer-label").textContent = fill(WORDS.tokens, {count: length});
    find("rows").replaceChildren(...DATA.methods.map((method, i) => {
      const of = DATA.cells[model.value][i];
      const cell = of[of.length == 1 ? 0 : budget.value][context.value];
      const [prefill, decode] = cell.slice(2 + 2 * machine.value, 4 + 2 * machine.value);
      const fits = cell[1] <= DATA.memory[machine.value];
      const row = document.createElement("tr");
      const least = fits ? bytes(cell[1]) : fill(WORDS.too_large, {bytes: bytes(cell[1])});
      [method, bytes(cell[0]), least, seconds(prefill), seconds(decode),
       seconds(prefill === null ? null : prefill + decode * (length - 1))].forEach(text => {
        const column = document.createElement("td");
        column.textContent = text;
        row.append(column);
      });
      if (!fits) row.className = "kv-dropped";
      return row;
    }));
  };
  for (const one of [model, machine, context, budget, answer]) one.addEventListener("input", update);
  model.value = DATA.start.model; machine.value = DATA.start.machine; context.value = DATA.start.context; budget.value = DATA.start.budget;
  update();
})();
