// The matrix of matrix_view.py: a head with the columns' names, a line for each row, a plate for each cell; one is chosen.
// Plain SVG, no libraries, nothing from the network.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Arial, 'Liberation Sans', 'DejaVu Sans Condensed', 'DejaVu Sans', sans-serif";
const WIDTH = 880, SIZE = 18, INK = "#222", LINE = 30, HEAD = 28, NAMES = 118;
// From the best word to the worst; each has its mark and its word besides.
const FILLS = ["#ffffff", "#e8f1fa", "#ececec", "#D55E00"], INKS = [INK, INK, "#555", "#fff"];

function add(parent, tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  set(element, attributes);
  return parent.appendChild(element);
}

const ruler = document.createElement("canvas").getContext("2d");

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

// Words that are wider than their room, in the font that this computer has, are set narrower.
function write(element, text, room, bold) {
  ruler.font = `${bold ? "bold " : ""}${SIZE}px ${FONT}`;
  element.textContent = text;
  element.setAttribute("font-weight", bold ? "bold" : "normal");
  if (ruler.measureText(text).width > room) set(element, { textLength: room, lengthAdjust: "spacingAndGlyphs" });
  else for (const name of ["textLength", "lengthAdjust"]) element.removeAttribute(name);
}

// What stays while one looks from cell to cell: whoever stands on a cell with the keyboard keeps it.
function lay(svg, model) {
  const names = model.get("names"), columns = model.get("columns"), wide = (WIDTH - NAMES) / Math.max(columns.length, 1);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEAD + LINE * names.length}`);
  write(add(svg, "text", { x: 4, y: HEAD - 9, fill: "#555" }), model.get("corner"), NAMES - 8, false);
  const heads = columns.map((name, column) => add(svg, "text", { x: NAMES + wide * (column + 0.5), y: HEAD - 9, "text-anchor": "middle" }));
  const rows = names.map((name, row) => {
    const head = add(svg, "text", { x: 4, y: HEAD + LINE * row + 20 });
    const cells = columns.map((column, place) => {
      const x = NAMES + wide * place + 3, y = HEAD + LINE * row + 2;
      const group = add(svg, "g", { class: "vmio-cell", role: "button", tabindex: 0, "data-cell": `${name} ${column}`, style: "cursor:pointer" });
      const plate = add(group, "rect", { x, y, width: wide - 6, height: LINE - 4 });
      const word = add(group, "text", { x: x + (wide - 6) / 2, y: y + 19, "text-anchor": "middle" });
      const pick = () => { model.set("picked", [row, place]); model.save_changes(); };
      group.addEventListener("click", pick);
      group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } });
      return { group, plate, word };
    });
    return { head, cells };
  });
  return { of: JSON.stringify([names, columns]), wide, heads, rows };
}

function update(laid, model) {
  const names = model.get("names"), columns = model.get("columns"), words = model.get("words"), marks = model.get("marks");
  const cells = model.get("cells"), at = model.get("at"), { wide, heads, rows } = laid;
  columns.forEach((name, column) => write(heads[column], name, wide - 8, column === at[1]));
  names.forEach((name, row) => {
    write(rows[row].head, name, NAMES - 8, row === at[0]);
    columns.forEach((column, place) => {
      const said = (cells[row] || [])[place] || "", kind = words.indexOf(said), chosen = row === at[0] && place === at[1];
      const { group, plate, word } = rows[row].cells[place];
      set(group, { "data-word": said, "data-chosen": chosen, "aria-label": `${name} on ${column}: ${said}`, "aria-pressed": chosen });
      set(plate, { rx: kind === 3 ? 0 : 6, fill: FILLS[kind] || "#fff", stroke: chosen ? INK : "#999", "stroke-width": chosen ? 3.5 : 1, "stroke-dasharray": kind < 0 ? "3 4" : "none" });
      word.setAttribute("fill", INKS[kind] || INK);
      write(word, kind < 0 ? said : `${marks[kind]} ${said}`, wide - 18, kind === 0 || kind === 3);
    });
  });
}

export default {
  render({ model, el }) {
    el.classList.add("vmio-host");
    const root = document.createElement("div");
    root.className = "vmio-switch vmio-matrix";
    el.append(root);
    const svg = add(root, "svg", { role: "group", width: "100%", "font-size": SIZE, "font-family": FONT, fill: INK, style: "display:block" });
    let laid = null;
    const redraw = () => {
      if (laid === null || laid.of !== JSON.stringify([model.get("names"), model.get("columns")])) laid = lay(svg, model);
      update(laid, model);
      svg.setAttribute("aria-label", model.get("text"));
    };
    redraw();
    model.on("change:text", redraw);
    return () => model.off("change:text", redraw);
  },
};
