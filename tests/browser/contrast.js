// Every visible text of the page whose contrast with what lies behind it is under WCAG's 4.5, or 3 where it is large.
() => {
  const parse = text => {
    const parts = text.match(/[\d.]+/g).map(Number);
    if (text.startsWith("color(srgb")) for (let i = 0; i < 3; i++) parts[i] *= 255;
    return parts.length > 3 ? parts : [...parts, 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = rgb => rgb.slice(0, 3)
    .map(x => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = document.documentElement.dataset.theme === "dark" ? [0, 0, 0, 1] : [255, 255, 255, 1];
  const behind = element => {
    let ground = paper;
    const chain = [];
    for (let one = element; one; one = one.parentElement) chain.unshift(one);
    for (const one of chain) ground = over(parse(getComputedStyle(one).backgroundColor), ground);
    return ground;
  };
  const faint = new Map();
  const closed = document.querySelectorAll("article details:not([open])");
  const hidden = document.querySelectorAll("article .toggle-hidden");
  closed.forEach(one => one.open = true);
  hidden.forEach(one => one.classList.remove("toggle-hidden"));
  document.getAnimations().forEach(one => one.finish());  // what opens fades in, slowly on a long page
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), element = walk.currentNode.parentElement;
    if (!text || element.closest("svg, script, style, noscript, mjx-container") || !element.checkVisibility({visibilityProperty: true})) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    let opacity = 1;
    for (let one = element; one; one = one.parentElement) opacity *= getComputedStyle(one).opacity;
    if (!opacity) continue;  // shown only under the pointer
    const ground = behind(element), ink = parse(style.color);
    ink[3] *= opacity;
    const [a, b] = [luminance(over(ink, ground)), luminance(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      const place = element.tagName.toLowerCase() + "." + element.className;
      faint.set(place + style.color + ground, `${ratio.toFixed(2)} ${place} ${style.color} on ${ground.map(Math.round)}: ${text.slice(0, 30)}`);
    }
  }
  closed.forEach(one => one.open = false);
  hidden.forEach(one => one.classList.add("toggle-hidden"));
  return [...faint.values()];
}
