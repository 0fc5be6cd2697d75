// The matrix of matrix_view.py: a head with the columns' names, a line for each row, a plate for each cell; one is chosen.
// Plain SVG, no libraries, nothing from the network.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const WIDTH = 880, SIZE = 17, INK = "#222", LINE = 30, HEAD = 28, NAMES = 118;
// From the best word to the worst; each has its mark and its word besides.
const FILLS = ["#ffffff", "#e8f1fa", "#ececec", "#D55E00"], INKS = [INK, INK, "#555", "#fff"];

function add(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return parent.appendChild(element);
}

const ruler = document.createElement("canvas").getContext("2d");

// Words that are wider than their room, in the font that this computer has, are set narrower.
function say(parent, x, y, text, room, more = {}) {
  ruler.font = `${more["font-weight"] === "bold" ? "bold " : ""}${SIZE}px ${FONT}`;
  const narrow = ruler.measureText(text).width > room ? { textLength: room, lengthAdjust: "spacingAndGlyphs" } : {};
  return add(parent, "text", { x, y, ...narrow, ...more }, text);
}

function update(svg, model) {
  const names = model.get("names"), columns = model.get("columns"), words = model.get("words"), marks = model.get("marks");
  const cells = model.get("cells"), at = model.get("at"), wide = (WIDTH - NAMES) / Math.max(columns.length, 1);
  const focused = svg.contains(document.activeElement) ? document.activeElement.getAttribute("data-cell") : null;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEAD + LINE * names.length}`);
  say(svg, 4, HEAD - 9, model.get("corner"), NAMES - 8, { fill: "#555" });
  columns.forEach((name, column) => say(svg, NAMES + wide * (column + 0.5), HEAD - 9, name, wide - 8, { "text-anchor": "middle", ...(column === at[1] ? { "font-weight": "bold" } : {}) }));
  names.forEach((name, row) => {
    say(svg, 4, HEAD + LINE * row + 20, name, NAMES - 8, row === at[0] ? { "font-weight": "bold" } : {});
    columns.forEach((column, place) => {
      const word = (cells[row] || [])[place] || "", kind = words.indexOf(word), chosen = row === at[0] && place === at[1];
      const x = NAMES + wide * place + 3, y = HEAD + LINE * row + 2;
      const group = add(svg, "g", { class: "vmio-cell", role: "button", tabindex: 0, "data-cell": `${name} ${column}`, "data-word": word, "data-chosen": chosen, "aria-label": `${name} on ${column}: ${word}`, "aria-pressed": chosen, style: "cursor:pointer" });
      add(group, "rect", { x, y, width: wide - 6, height: LINE - 4, rx: kind === 3 ? 0 : 6, fill: FILLS[kind] || "#fff", stroke: chosen ? INK : "#999", "stroke-width": chosen ? 3.5 : 1, ...(kind < 0 ? { "stroke-dasharray": "3 4" } : {}) });
      say(group, x + (wide - 6) / 2, y + 19, kind < 0 ? word : `${marks[kind]} ${word}`, wide - 18, { "text-anchor": "middle", fill: INKS[kind] || INK, ...(kind === 0 || kind === 3 ? { "font-weight": "bold" } : {}) });
      const pick = () => { model.set("picked", [row, place]); model.save_changes(); };
      group.addEventListener("click", pick);
      group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } });
      if (focused === `${name} ${column}`) group.focus({ preventScroll: true });
    });
  });
  svg.setAttribute("aria-label", model.get("text"));
}

export default {
  render({ model, el }) {
    el.classList.add("vmio-host");
    const root = document.createElement("div");
    root.className = "vmio-switch vmio-matrix";
    el.append(root);
    const svg = add(root, "svg", { role: "group", width: "100%", "font-size": SIZE, "font-family": FONT, fill: INK, style: "display:block" });
    const redraw = () => update(svg, model);
    redraw();
    model.on("change:text", redraw);
    return () => model.off("change:text", redraw);
  },
};
